//! How many uses are taken, where there is a limit.
//!
//! Whoever changes a count holds its row's lock; rows are locked in the order of their keys.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use shared::ids::{CampaignId, PromocodeId, UserId};
use uuid::Uuid;

use super::{CHUNK, unreadable};
use crate::domain::batch::{CounterKey, Counters};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::ids::UserId;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "counters")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub scope: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub scope_id: Uuid,
        /// Nil where all users count together.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        pub used: i64,
        pub max_uses: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{Column, Entity, Model};

const EVERYBODY: UserId = UserId(Uuid::nil());
// In alphabetical order these sort as their variants of `CounterKey` do.
const CAMPAIGN: &str = "campaign";
const PROMOCODE: &str = "promocode";
const USER: &str = "user";

/// Counts of uses that are to be written, each with the limit that it is kept under.
pub(crate) type Limits = BTreeMap<CounterKey, i64>;

fn columns(key: CounterKey) -> (&'static str, Uuid, UserId) {
    match key {
        CounterKey::Campaign(campaign) => (CAMPAIGN, campaign.0, EVERYBODY),
        CounterKey::Promocode(promocode) => (PROMOCODE, promocode.0, EVERYBODY),
        CounterKey::User(campaign, user) => (USER, campaign.0, user),
    }
}

fn key(row: &Model) -> Result<CounterKey, DbErr> {
    match row.scope.as_str() {
        CAMPAIGN => Ok(CounterKey::Campaign(CampaignId(row.scope_id))),
        PROMOCODE => Ok(CounterKey::Promocode(PromocodeId(row.scope_id))),
        USER => Ok(CounterKey::User(CampaignId(row.scope_id), row.user_id)),
        other => Err(unreadable("counter", other)),
    }
}

/// Rows with these keys: a list of ids for each kind, which both databases look up by index.
fn with_keys(keys: impl Iterator<Item = CounterKey>) -> Condition {
    let (mut campaigns, mut promocodes) = (Vec::new(), Vec::new());
    let mut users: BTreeMap<CampaignId, Vec<UserId>> = BTreeMap::new();
    for key in keys {
        match key {
            CounterKey::Campaign(campaign) => campaigns.push(campaign.0),
            CounterKey::Promocode(promocode) => promocodes.push(promocode.0),
            CounterKey::User(campaign, user) => users.entry(campaign).or_default().push(user),
        }
    }
    let of_kind = |scope: &str, ids: Vec<Uuid>, users: Vec<UserId>| {
        Condition::all()
            .add(Column::Scope.eq(scope))
            .add(Column::ScopeId.is_in(ids))
            .add(Column::UserId.is_in(users))
    };
    let mut any = Condition::any();
    for (scope, ids) in [(CAMPAIGN, campaigns), (PROMOCODE, promocodes)] {
        if !ids.is_empty() {
            any = any.add(of_kind(scope, ids, vec![EVERYBODY]));
        }
    }
    for (campaign, users) in users {
        any = any.add(of_kind(USER, vec![campaign.0], users));
    }
    any
}

fn read(rows: Vec<Model>) -> Result<Counters, DbErr> {
    rows.into_iter()
        .map(|row| key(&row).map(|key| (key, row.used)))
        .collect()
}

/// The counts as they are at this moment; one that is not there yet is absent.
pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    keys: impl IntoIterator<Item = CounterKey>,
) -> Result<Counters, DbErr> {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        return Ok(Counters::new());
    }
    read(Entity::find().filter(with_keys(keys)).all(conn).await?)
}

/// Locks the counts until the end of the transaction and says what they are; those that are not
/// there yet begin at 0.
pub(crate) async fn lock(conn: &impl ConnectionTrait, limits: &Limits) -> Result<Counters, DbErr> {
    if limits.is_empty() {
        return Ok(Counters::new());
    }
    let missing: Vec<_> = limits.iter().map(|(key, limit)| row(*key, 0, *limit)).collect();
    // Before any lock, and sorted: who waits here for another's new row holds no lock that the
    // other could wait for.
    for chunk in missing.chunks(CHUNK) {
        Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(on_key().do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    read(lock_rows(conn, limits.keys().copied()).await?)
}

/// Writes counts that this transaction has locked by [`lock`].
pub(crate) async fn write(
    conn: &impl ConnectionTrait,
    counters: &Counters,
    limits: &Limits,
) -> Result<(), DbErr> {
    let rows = limits
        .iter()
        .filter_map(|(key, limit)| Some(row(*key, *counters.get(key)?, *limit)));
    overwrite(conn, rows.collect()).await
}

/// Gives uses back: takes from each count what `given_back` says.
pub(crate) async fn give_back(conn: &impl ConnectionTrait, given_back: &Counters) -> Result<(), DbErr> {
    if given_back.is_empty() {
        return Ok(());
    }
    let mut rows = lock_rows(conn, given_back.keys().copied()).await?;
    if rows.len() != given_back.len() {
        return Err(DbErr::Custom(
            "a use is given back that was never counted".to_owned(),
        ));
    }
    for row in &mut rows {
        row.used -= given_back.get(&key(row)?).copied().unwrap_or(0);
    }
    overwrite(conn, rows).await
}

/// Sorted, so that two transactions never wait for each other.
async fn lock_rows(
    conn: &impl ConnectionTrait,
    keys: impl Iterator<Item = CounterKey>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(with_keys(keys))
        .order_by_asc(Column::Scope)
        .order_by_asc(Column::ScopeId)
        .order_by_asc(Column::UserId)
        .lock_exclusive()
        .all(conn)
        .await
}

/// Absolute values, right because the rows are locked.
async fn overwrite(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    for chunk in rows.chunks(CHUNK) {
        Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(
                on_key()
                    .update_columns([Column::Used, Column::MaxUses])
                    .to_owned(),
            )
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

fn on_key() -> OnConflict {
    OnConflict::columns([Column::Scope, Column::ScopeId, Column::UserId])
}

fn row(key: CounterKey, used: i64, limit: i64) -> Model {
    let (scope, scope_id, user_id) = columns(key);
    Model {
        scope: scope.to_owned(),
        scope_id,
        user_id,
        used,
        max_uses: Some(limit),
    }
}

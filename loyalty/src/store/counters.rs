//! How many uses are taken, where there is a limit.
//!
//! Whoever changes a count holds its row's lock; rows are locked in the order of their keys, and
//! once in a transaction. A use that is given back waits for none of these locks: it is kept as a
//! row of its own (see [`returned_uses`]), which whoever locks the count next takes off it. So
//! what a count says is right only together with those rows.
//!
//! Where each user's uses began to be limited after some were taken, no count is made then: who
//! needs a user's count first makes it from their redemptions.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    Condition, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};
use shared::ids::{CampaignId, PromocodeId, UserId};
use uuid::Uuid;

use super::{CHUNK, recounts, redemptions, returned_uses, unreadable};
use crate::domain::{
    batch::{CounterKey, Counters},
    campaign::Campaign,
    decision::Uses,
};

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
        /// Whether a hold may wait for one of these uses: see `waiting_holds`.
        pub awaited: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::Model;
pub(super) use entity::{Column, Entity};

pub(super) const EVERYBODY: UserId = UserId(Uuid::nil());
const SCOPE: &str = "scope";
const SCOPE_ID: &str = "scope_id";
const USER_ID: &str = "user_id";
// In alphabetical order these sort as their variants of `CounterKey` do.
pub(super) const CAMPAIGN: &str = "campaign";
const PROMOCODE: &str = "promocode";
pub(super) const USER: &str = "user";

/// Counts of uses that are to be locked.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Each with the limit that it is kept under.
    pub most: BTreeMap<CounterKey, i64>,
    /// Campaigns whose users' uses began to be limited after some were taken.
    pub recounted: BTreeSet<CampaignId>,
}

/// How a key is stored: kind, id, user.
pub(super) fn columns(key: CounterKey) -> (&'static str, Uuid, UserId) {
    match key {
        CounterKey::Campaign(campaign) => (CAMPAIGN, campaign.0, EVERYBODY),
        CounterKey::Promocode(promocode) => (PROMOCODE, promocode.0, EVERYBODY),
        CounterKey::User(campaign, user) => (USER, campaign.0, user),
    }
}

/// Reads what [`columns`] made.
pub(super) fn key(scope: &str, scope_id: Uuid, user_id: UserId) -> Result<CounterKey, DbErr> {
    match scope {
        CAMPAIGN => Ok(CounterKey::Campaign(CampaignId(scope_id))),
        PROMOCODE => Ok(CounterKey::Promocode(PromocodeId(scope_id))),
        USER => Ok(CounterKey::User(CampaignId(scope_id), user_id)),
        other => Err(unreadable("counter", other)),
    }
}

/// Rows with these keys, of any table that has these columns: a list of ids for each kind, which
/// both databases look up by index.
pub(super) fn with_keys(keys: impl Iterator<Item = CounterKey>) -> Condition {
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
            .add(Expr::col(SCOPE).eq(scope))
            .add(Expr::col(SCOPE_ID).is_in(ids))
            .add(Expr::col(USER_ID).is_in(users))
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
        .map(|row| {
            let uses = Uses {
                awaited: row.awaited,
                ..Uses::taken(row.used)
            };
            key(&row.scope, row.scope_id, row.user_id).map(|key| (key, uses))
        })
        .collect()
}

/// Takes off `counters` what was given back.
fn take_off(counters: &mut Counters, given_back: impl IntoIterator<Item = CounterKey>) -> Result<(), DbErr> {
    for key in given_back {
        counters
            .get_mut(&key)
            .ok_or_else(|| DbErr::Custom("a use is given back that was never counted".to_owned()))?
            .taken -= 1;
    }
    Ok(())
}

/// The counts of `keys` as they are at this moment, for showing; one that nothing was ever counted
/// in may be absent. `recounted` as in [`Limits`].
pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    keys: &[CounterKey],
    recounted: &BTreeSet<CampaignId>,
) -> Result<Counters, DbErr> {
    if keys.is_empty() {
        return Ok(Counters::new());
    }
    // In this order a count can only seem lower than it is: no use that is free is refused.
    let given_back = returned_uses::find(conn, keys.iter().copied()).await?;
    let rows = Entity::find().filter(with_keys(keys.iter().copied()));
    let mut counters = read(rows.all(conn).await?)?;
    // The mark may stay after the last waiting hold has gone; it is checked under the lock.
    for uses in counters.values_mut() {
        uses.awaited = false;
    }
    let not_made = not_made(keys.iter(), &counters, recounted);
    // Nothing is taken off a count that is not there: it is made below, or whoever asks has not heard
    // yet of terms under which it is.
    let of_counts: Vec<_> = given_back
        .into_iter()
        .filter(|key| counters.contains_key(key))
        .collect();
    take_off(&mut counters, of_counts)?;
    for (campaign, users) in not_made {
        let taken = redemptions::taken_by(conn, campaign, &users).await?;
        counters.extend(
            taken
                .into_iter()
                .map(|(user, uses)| (CounterKey::User(campaign, user), Uses::taken(uses))),
        );
    }
    Ok(counters)
}

/// The users whose counts are not there, by campaign, though they may have taken uses.
fn not_made<'a>(
    keys: impl Iterator<Item = &'a CounterKey>,
    there: &Counters,
    recounted: &BTreeSet<CampaignId>,
) -> BTreeMap<CampaignId, Vec<UserId>> {
    let mut users: BTreeMap<CampaignId, Vec<UserId>> = BTreeMap::new();
    for key in keys.filter(|key| !there.contains_key(key)) {
        if let CounterKey::User(campaign, user) = key
            && recounted.contains(campaign)
        {
            users.entry(*campaign).or_default().push(*user);
        }
    }
    users
}

/// Counts that this transaction has locked.
#[derive(Debug, Default)]
pub(crate) struct Locked {
    /// As they are in the table.
    stored: Counters,
    /// As they are, whatever was given back taken off; to be changed by who has locked them.
    pub counters: Counters,
    /// The limit that each is kept under.
    most: BTreeMap<CounterKey, i64>,
}

/// Locks the counts until the end of the transaction and says what they are; those that are not
/// there yet begin at 0, and stay there even if every use is refused then. The transaction shares
/// their campaigns.
///
/// Two transactions that lock here never wait for each other in a circle, if each does it once.
pub(crate) async fn lock(conn: &impl ConnectionTrait, limits: Limits) -> Result<Locked, DbErr> {
    let Limits { most, recounted } = limits;
    if most.is_empty() {
        return Ok(Locked::default());
    }
    let there = read(
        Entity::find()
            .filter(with_keys(most.keys().copied()))
            .all(conn)
            .await?,
    )?;
    for (campaign, users) in not_made(most.keys(), &there, &recounted) {
        recounts::count_users(conn, campaign, &users).await?;
    }
    let missing: Vec<_> = most
        .iter()
        .filter(|(key, _)| !there.contains_key(key))
        .map(|(key, limit)| row(*key, Uses::default(), Some(*limit)))
        .collect();
    // Before any count is locked, and sorted: who waits here for another's new row holds no lock
    // that the other could wait for.
    for chunk in missing.chunks(CHUNK) {
        Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(on_key().do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    let stored = read(lock_rows(conn, most.keys().copied()).await?)?;
    // A statement of its own, begun under the locks: it sees all that was given back until now,
    // and nobody else takes it off.
    let mut counters = stored.clone();
    take_off(
        &mut counters,
        returned_uses::take(conn, most.keys().copied()).await?,
    )?;
    Ok(Locked {
        stored,
        counters,
        most,
    })
}

impl Locked {
    /// What the database is to see to: the limit, or what is used already where that is more, since
    /// a limit may be lowered below it. Then no more than before is used.
    fn kept_under(&self, key: CounterKey, used: i64) -> Option<i64> {
        let most = *self.most.get(&key)?;
        let before = self.stored.get(&key).copied().unwrap_or_default().taken;
        Some(if used <= before && used > most { used } else { most })
    }
}

/// Writes the counts that are not as they were.
pub(crate) async fn write(conn: &impl ConnectionTrait, locked: &Locked) -> Result<(), DbErr> {
    let stays = |key: &CounterKey, uses: &Uses| {
        let stored = locked.stored.get(key);
        stored.is_some_and(|stored| (stored.taken, stored.awaited) == (uses.taken, uses.awaited))
    };
    let changed = locked.counters.iter().filter(|(key, uses)| !stays(key, uses));
    let rows: Vec<_> = changed
        .map(|(key, uses)| row(*key, *uses, locked.kept_under(*key, uses.taken)))
        .collect();
    for chunk in rows.chunks(CHUNK) {
        // Absolute values, right because the rows are locked.
        Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(
                on_key()
                    .update_columns([Column::Used, Column::MaxUses, Column::Awaited])
                    .to_owned(),
            )
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Fills in which of the uses that `keys` count may come back: those that are held, and those that have
/// come back since the counts were read. `campaigns` are those that the uses are of.
///
/// In this order one that comes back meanwhile is seen twice, and never not at all: so no use is taken
/// for confirmed that is not.
pub(crate) async fn read_held(
    conn: &impl ConnectionTrait,
    counters: &mut Counters,
    campaigns: impl IntoIterator<Item = &Campaign>,
    keys: &BTreeSet<CounterKey>,
) -> Result<(), DbErr> {
    if keys.is_empty() {
        return Ok(());
    }
    let recounted: BTreeMap<_, _> = campaigns
        .into_iter()
        .map(|campaign| (campaign.id, campaign.recounted))
        .collect();
    let held = redemptions::held_of(conn, recounted.keys().copied()).await?;
    let held = held.iter().flat_map(|redemption| {
        let campaign = redemption
            .campaign_id
            .and_then(|campaign| recounted.get(&campaign));
        redemption.counted_in(campaign.copied().unwrap_or_default())
    });
    let held: Vec<_> = held.collect();
    let came_back = returned_uses::find(conn, keys.iter().copied()).await?;
    for key in held.into_iter().chain(came_back) {
        if keys.contains(&key)
            && let Some(uses) = counters.get_mut(&key)
        {
            uses.held += 1;
        }
    }
    Ok(())
}

/// Sorted, so that two transactions wait for each other in one direction only.
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

fn on_key() -> OnConflict {
    OnConflict::columns([Column::Scope, Column::ScopeId, Column::UserId])
}

fn row(key: CounterKey, uses: Uses, max_uses: Option<i64>) -> Model {
    let (scope, scope_id, user_id) = columns(key);
    Model {
        scope: scope.to_owned(),
        scope_id,
        user_id,
        used: uses.taken,
        max_uses,
        awaited: uses.awaited,
    }
}

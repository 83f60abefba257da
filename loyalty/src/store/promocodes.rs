//! Promocodes.

use std::{cmp::Reverse, collections::HashMap};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Select,
    sea_query::{Asterisk, Expr, OnConflict, Order, Query, SelectStatement, UnionType},
};
use shared::{
    clock::Instant,
    ids::{CampaignId, PromocodeId, UserId},
};
use uuid::Uuid;

use super::{campaigns, grants, groups, page::Part};
use crate::domain::{
    campaign::{Campaign, CampaignStatus},
    promocode::{Promocode, PromocodeCode},
};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{CampaignId, PromocodeId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "promocodes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: PromocodeId,
        pub campaign_id: CampaignId,
        /// In its normal form; of some that are older than that form, as it was.
        pub code: String,
        pub max_uses: Option<i64>,
        pub disabled: bool,
        pub created_at: Instant,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(
            belongs_to = "crate::store::campaigns::Entity",
            from = "Column::CampaignId",
            to = "crate::store::campaigns::Column::Id"
        )]
        Campaign,
    }

    impl Related<crate::store::campaigns::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Campaign.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Model};
pub(super) use entity::{Column, Entity};

/// A promocode as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptPromocode {
    /// The promocode.
    pub promocode: Promocode,
    /// When it was made.
    pub created_at: Instant,
}

fn read(row: Model) -> KeptPromocode {
    KeptPromocode {
        promocode: Promocode {
            id: row.id,
            campaign_id: row.campaign_id,
            code: PromocodeCode::stored(row.code),
            max_uses: row.max_uses,
            disabled: row.disabled,
            version: row.version,
        },
        created_at: row.created_at,
    }
}

/// Keeps a promocode; false if there is one with this code already.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    promocode: &Promocode,
    now: Instant,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(promocode.id),
        campaign_id: Set(promocode.campaign_id),
        code: Set(promocode.code.as_str().to_owned()),
        max_uses: Set(promocode.max_uses),
        disabled: Set(promocode.disabled),
        created_at: Set(now),
        version: Set(promocode.version),
    };
    let inserted = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Code).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted == 1)
}

/// The promocodes with these codes.
pub(crate) async fn find_by_codes(
    conn: &impl ConnectionTrait,
    codes: impl IntoIterator<Item = &str>,
) -> Result<Vec<Promocode>, DbErr> {
    let rows = Entity::find().filter(Column::Code.is_in(codes)).all(conn).await?;
    Ok(rows.into_iter().map(|row| read(row).promocode).collect())
}

/// These promocodes.
pub(crate) async fn find_many(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PromocodeId>,
) -> Result<HashMap<PromocodeId, Promocode>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, read(row).promocode))
        .collect())
}

/// The promocode with this code.
pub(crate) async fn find_by_code(
    conn: &impl ConnectionTrait,
    code: &PromocodeCode,
) -> Result<Option<Promocode>, DbErr> {
    Ok(find_by_codes(conn, [code.as_str()]).await?.pop())
}

/// The promocode with this code, and its campaign. What can't be a promocode is looked up all the same,
/// so that the database is asked the same whatever was typed.
pub(crate) async fn find_with_campaign(
    conn: &impl ConnectionTrait,
    code: Option<&PromocodeCode>,
) -> Result<Option<(Promocode, Campaign)>, DbErr> {
    let found = Entity::find()
        .filter(Column::Code.eq(code.map_or("", PromocodeCode::as_str)))
        .find_also_related(campaigns::Entity)
        .one(conn)
        .await?;
    let Some((row, Some(campaign))) = found else {
        return Ok(None);
    };
    Ok(Some((read(row).promocode, campaigns::read(campaign)?.campaign)))
}

/// The promocode with this id.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: PromocodeId) -> Result<Option<Promocode>, DbErr> {
    let found = Entity::find_by_id(id).one(conn).await?;
    Ok(found.map(|row| read(row).promocode))
}

/// The codes of these promocodes.
pub(crate) async fn codes_of(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PromocodeId>,
) -> Result<HashMap<PromocodeId, String>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.code)).collect())
}

/// The promocode of a campaign that is stored exactly as it was `written`, or else the one with that
/// normal form; locked until the end of the transaction.
pub(crate) async fn lock_of_campaign(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    written: &str,
) -> Result<Option<KeptPromocode>, DbErr> {
    let normal = PromocodeCode::parse(written).ok();
    // PostgreSQL takes no NUL, and nothing that is stored has one.
    let exact = (!written.contains('\0')).then_some(written);
    let texts = exact
        .into_iter()
        .chain(normal.as_ref().map(PromocodeCode::as_str));
    let found = Entity::find()
        .filter(Column::Code.is_in(texts))
        .filter(Column::CampaignId.eq(campaign))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await?;
    let best = found.into_iter().max_by_key(|row| row.code == written);
    Ok(best.map(read))
}

/// At most `limit` promocodes whose codes are not of ASCII alone, by id, from behind `after` on; of
/// campaigns that are not archived, and switched on.
pub(crate) async fn find_of_other_letters(
    conn: &impl ConnectionTrait,
    after: PromocodeId,
    limit: u64,
) -> Result<Vec<Promocode>, DbErr> {
    let other_letters = match conn.get_database_backend() {
        DbBackend::Postgres => "promocodes.code ~ '[^ -~]'",
        _ => "promocodes.code GLOB '*[^ -~]*'",
    };
    let rows = Entity::find()
        .inner_join(campaigns::Entity)
        .filter(campaigns::Column::Status.ne(CampaignStatus::Archived.as_str()))
        .filter(Column::Disabled.eq(false))
        .filter(Column::Id.gt(after))
        .filter(Expr::cust(other_letters))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| read(row).promocode).collect())
}

/// Switches a promocode on or off that this transaction has locked.
pub(crate) async fn update(conn: &impl ConnectionTrait, promocode: &Promocode) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Disabled, Expr::value(promocode.disabled))
        .col_expr(Column::Version, Expr::value(promocode.version))
        .filter(Column::Id.eq(promocode.id))
        .exec(conn)
        .await?;
    Ok(())
}

/// The promocodes of a campaign, newest first.
pub(crate) async fn list(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    part: Part,
) -> Result<Vec<KeptPromocode>, DbErr> {
    let of_campaign = Entity::find().filter(Column::CampaignId.eq(campaign));
    let rows = part
        .of(of_campaign, Column::CreatedAt, Column::Id)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Which promocodes are looked through for a user.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub user: UserId,
    /// All of these campaigns.
    pub all_of: Vec<CampaignId>,
    /// Of these, what is granted to the user.
    pub granted_of: Vec<CampaignId>,
}

/// At most `limit` of them, newest first from behind `after` on. Reads about as many, however many
/// the campaigns have.
pub(crate) async fn find_shown(
    conn: &impl ConnectionTrait,
    shown: &Shown,
    after: Option<(Instant, Uuid)>,
    limit: u64,
) -> Result<Vec<KeptPromocode>, DbErr> {
    let part = Part {
        after,
        limit: limit.saturating_sub(1),
    };
    let newest = |select: Select<Entity>| {
        let branch = part.of(select, Column::CreatedAt, Column::Id).into_query();
        Query::select()
            .column(Asterisk)
            .from_subquery(branch, "branch")
            .take()
    };
    let mut branches: Vec<_> = shown
        .all_of
        .iter()
        .map(|campaign| newest(Entity::find().filter(Column::CampaignId.eq(*campaign))))
        .collect();
    if !shown.granted_of.is_empty() {
        let granted = Entity::find()
            .filter(Column::Id.in_subquery(granted_to(shown.user)))
            .filter(Column::CampaignId.is_in(shown.granted_of.iter().copied()));
        branches.push(newest(granted));
    }
    let mut found = Vec::new();
    for chunk in branches.chunks(BRANCHES) {
        found.extend(newest_of(conn, chunk, limit).await?);
    }
    found.sort_unstable_by_key(|kept| Reverse((kept.created_at, kept.promocode.id.0)));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// Campaigns that are looked into in one statement; SQLite takes a few hundred.
const BRANCHES: usize = 100;

/// The newest of all `branches`, of which each gives its newest.
async fn newest_of(
    conn: &impl ConnectionTrait,
    branches: &[SelectStatement],
    limit: u64,
) -> Result<Vec<KeptPromocode>, DbErr> {
    let Some((first, others)) = branches.split_first() else {
        return Ok(Vec::new());
    };
    let mut all = first.clone();
    for other in others {
        all.union(UnionType::All, other.clone());
    }
    let newest = Query::select()
        .column(Asterisk)
        .from_subquery(all, "shown")
        .order_by(Column::CreatedAt, Order::Desc)
        .order_by(Column::Id, Order::Desc)
        .limit(limit)
        .take();
    let rows = Model::find_by_statement(conn.get_database_backend().build(&newest))
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// The ids of promocodes that are granted to `user`, or to a group that they are in.
fn granted_to(user: UserId) -> SelectStatement {
    Query::select()
        .column(grants::Column::PromocodeId)
        .from(grants::Entity)
        .cond_where(
            Condition::any()
                .add(grants::Column::UserId.eq(user))
                .add(grants::Column::GroupId.in_subquery(groups::of_user(user))),
        )
        .take()
}

/// The ids of the campaigns of these.
pub(super) fn campaigns_of_granted(user: UserId) -> SelectStatement {
    Query::select()
        .column(Column::CampaignId)
        .from(Entity)
        .and_where(Column::Id.in_subquery(granted_to(user)))
        .take()
}

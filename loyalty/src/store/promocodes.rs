//! Promocodes.

use std::{cmp::Reverse, collections::HashMap};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
    QueryTrait, Select,
    sea_query::{Asterisk, Expr, OnConflict, Order, Query, SelectStatement, UnionType},
};
use shared::{
    clock::Instant,
    ids::{CampaignId, PromocodeId, UserId},
};
use uuid::Uuid;

use super::{campaigns, grants, groups, page::Part, unreadable};
use crate::domain::promocode::{Promocode, PromocodeCode};

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
        /// In its normal form.
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

use entity::{ActiveModel, Column, Entity, Model};

/// A promocode as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptPromocode {
    /// The promocode.
    pub promocode: Promocode,
    /// When it was made.
    pub created_at: Instant,
}

fn read(row: Model) -> Result<KeptPromocode, DbErr> {
    Ok(KeptPromocode {
        promocode: Promocode {
            id: row.id,
            campaign_id: row.campaign_id,
            code: PromocodeCode::parse(&row.code).map_err(|_| unreadable("promocode", &row.code))?,
            max_uses: row.max_uses,
            disabled: row.disabled,
            version: row.version,
        },
        created_at: row.created_at,
    })
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
    codes: impl IntoIterator<Item = &PromocodeCode>,
) -> Result<Vec<Promocode>, DbErr> {
    let codes = codes.into_iter().map(PromocodeCode::as_str);
    let rows = Entity::find().filter(Column::Code.is_in(codes)).all(conn).await?;
    rows.into_iter()
        .map(|row| read(row).map(|kept| kept.promocode))
        .collect()
}

/// The promocode with this code.
pub(crate) async fn find_by_code(
    conn: &impl ConnectionTrait,
    code: &PromocodeCode,
) -> Result<Option<Promocode>, DbErr> {
    Ok(find_by_codes(conn, [code]).await?.pop())
}

/// The promocode with this code, and in which version its campaign was when it was like that.
pub(crate) async fn find_with_version_of_campaign(
    conn: &impl ConnectionTrait,
    code: &PromocodeCode,
) -> Result<Option<(Promocode, i64)>, DbErr> {
    let found = Entity::find()
        .filter(Column::Code.eq(code.as_str()))
        .find_also_related(campaigns::Entity)
        .one(conn)
        .await?;
    let Some((row, Some(campaign))) = found else {
        return Ok(None);
    };
    Ok(Some((read(row)?.promocode, campaign.version)))
}

/// The promocode with this id.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: PromocodeId) -> Result<Option<Promocode>, DbErr> {
    let found = Entity::find_by_id(id).one(conn).await?;
    found.map(|row| read(row).map(|kept| kept.promocode)).transpose()
}

/// The codes of these promocodes.
pub(crate) async fn codes_of(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PromocodeId>,
) -> Result<HashMap<PromocodeId, String>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.code)).collect())
}

/// The promocode of a campaign with this code, locked until the end of the transaction.
pub(crate) async fn lock_of_campaign(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    code: &PromocodeCode,
) -> Result<Option<KeptPromocode>, DbErr> {
    let found = Entity::find()
        .filter(Column::Code.eq(code.as_str()))
        .filter(Column::CampaignId.eq(campaign))
        .lock_exclusive();
    found.one(conn).await?.map(read).transpose()
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
    rows.into_iter().map(read).collect()
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
    rows.into_iter().map(read).collect()
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

//! Campaigns and all the terms that they ever had.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use shared::{
    clock::Instant,
    ids::{CampaignId, UserId},
};

use super::{from_json, page::Part, to_json, unreadable};
use crate::domain::campaign::{Campaign, CampaignStatus, RefundPolicy};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::CampaignId};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "campaigns")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: CampaignId,
        pub version: i64,
        pub status: String,
        pub name: String,
        pub discount: String,
        pub starts_at: Option<Instant>,
        pub ends_at: Option<Instant>,
        pub timezone: Option<String>,
        pub max_redemptions: Option<i64>,
        pub max_per_user: Option<i64>,
        pub created_at: Instant,
        pub eligibility: String,
        pub requires_grant: bool,
        pub listed: bool,
        pub refund_policy: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod versions {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{CampaignId, UserId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "campaign_versions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub campaign_id: CampaignId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: i64,
        pub terms: String,
        pub changed_by: UserId,
        pub changed_at: Instant,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Model};
pub(super) use entity::{Column, Entity};

/// A campaign as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptCampaign {
    /// In its current terms.
    pub campaign: Campaign,
    /// When it was made.
    pub created_at: Instant,
}

fn read(row: Model) -> Result<KeptCampaign, DbErr> {
    let timezone = row
        .timezone
        .map(|name| name.parse().map_err(|_| unreadable("time zone", &name)));
    Ok(KeptCampaign {
        campaign: Campaign {
            id: row.id,
            version: row.version,
            name: row.name,
            discount: from_json(&row.discount)?,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            timezone: timezone.transpose()?,
            status: CampaignStatus::parse(&row.status).ok_or_else(|| unreadable("status", &row.status))?,
            max_redemptions: row.max_redemptions,
            max_per_user: row.max_per_user,
            eligibility: from_json(&row.eligibility)?,
            requires_grant: row.requires_grant,
            listed: row.listed,
            refund_policy: RefundPolicy::parse(&row.refund_policy)
                .ok_or_else(|| unreadable("refund policy", &row.refund_policy))?,
        },
        created_at: row.created_at,
    })
}

fn row(campaign: &Campaign, created_at: Instant) -> Result<ActiveModel, DbErr> {
    Ok(ActiveModel {
        id: Set(campaign.id),
        version: Set(campaign.version),
        status: Set(campaign.status.as_str().to_owned()),
        name: Set(campaign.name.clone()),
        discount: Set(to_json(&campaign.discount)?),
        starts_at: Set(campaign.starts_at),
        ends_at: Set(campaign.ends_at),
        timezone: Set(campaign.timezone.map(|zone| zone.name().to_owned())),
        max_redemptions: Set(campaign.max_redemptions),
        max_per_user: Set(campaign.max_per_user),
        created_at: Set(created_at),
        eligibility: Set(to_json(&campaign.eligibility)?),
        requires_grant: Set(campaign.requires_grant),
        listed: Set(campaign.listed),
        refund_policy: Set(campaign.refund_policy.as_str().to_owned()),
    })
}

/// Keeps a campaign that was made by `by`, and its first version.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    campaign: &Campaign,
    by: UserId,
    now: Instant,
) -> Result<(), DbErr> {
    Entity::insert(row(campaign, now)?)
        .exec_without_returning(conn)
        .await?;
    insert_version(conn, campaign, by, now).await
}

/// Keeps a new version of a campaign that this transaction has locked, made by `by`.
pub(crate) async fn update(
    conn: &impl ConnectionTrait,
    kept: &KeptCampaign,
    by: UserId,
    now: Instant,
) -> Result<(), DbErr> {
    Entity::update(row(&kept.campaign, kept.created_at)?)
        .exec(conn)
        .await?;
    insert_version(conn, &kept.campaign, by, now).await
}

/// All terms stay, for redemptions that were priced with them.
async fn insert_version(
    conn: &impl ConnectionTrait,
    campaign: &Campaign,
    by: UserId,
    now: Instant,
) -> Result<(), DbErr> {
    let version = versions::ActiveModel {
        campaign_id: Set(campaign.id),
        version: Set(campaign.version),
        terms: Set(to_json(campaign)?),
        changed_by: Set(by),
        changed_at: Set(now),
    };
    versions::Entity::insert(version)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// The campaign, locked until the end of the transaction: no hold is decided by its terms
/// meanwhile, and those that were are committed.
pub(crate) async fn lock(conn: &impl ConnectionTrait, id: CampaignId) -> Result<Option<KeptCampaign>, DbErr> {
    let found = Entity::find_by_id(id).lock_exclusive();
    found.one(conn).await?.map(read).transpose()
}

/// The campaigns, in terms that stay in force until the end of the transaction. Locked in their
/// order; whoever else only shares them does not wait.
pub(crate) async fn share(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    let found = Entity::find()
        .filter(Column::Id.is_in(ids))
        .order_by_asc(Column::Id)
        .lock_shared();
    by_id(found.all(conn).await?)
}

/// The campaign, in its current terms.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: CampaignId) -> Result<Option<KeptCampaign>, DbErr> {
    Entity::find_by_id(id).one(conn).await?.map(read).transpose()
}

/// The campaigns, in their current terms.
pub(crate) async fn find_many(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    by_id(Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?)
}

fn by_id(rows: Vec<Model>) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    rows.into_iter()
        .map(|row| read(row).map(|kept| (kept.campaign.id, kept.campaign)))
        .collect()
}

/// All campaigns, newest first.
pub(crate) async fn list(conn: &impl ConnectionTrait, part: Part) -> Result<Vec<KeptCampaign>, DbErr> {
    let rows = part
        .of(Entity::find(), Column::CreatedAt, Column::Id)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

//! Campaigns and all the terms that they ever had.

use std::collections::HashMap;

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde::Serialize;
use shared::{
    clock::Instant,
    ids::{CampaignId, UserId},
};

use super::{from_json, page::Part, to_json, unreadable};
use crate::domain::{
    campaign::{Campaign, CampaignStatus},
    discount::Discount,
};

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

use entity::{ActiveModel, Column, Entity, Model};

/// A campaign as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptCampaign {
    /// In its current terms.
    pub campaign: Campaign,
    /// When it was made.
    pub created_at: Instant,
}

/// What a version of a campaign keeps for good.
#[derive(Serialize)]
struct Terms<'a> {
    name: &'a str,
    discount: Discount,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_redemptions: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_per_user: Option<i64>,
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
        },
        created_at: row.created_at,
    })
}

/// Keeps a campaign that was made by `by`, and its first version.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    campaign: &Campaign,
    by: UserId,
    now: Instant,
) -> Result<(), DbErr> {
    let timezone = campaign.timezone.map(chrono_tz::Tz::name);
    let row = ActiveModel {
        id: Set(campaign.id),
        version: Set(campaign.version),
        status: Set(campaign.status.as_str().to_owned()),
        name: Set(campaign.name.clone()),
        discount: Set(to_json(&campaign.discount)?),
        starts_at: Set(campaign.starts_at),
        ends_at: Set(campaign.ends_at),
        timezone: Set(timezone.map(str::to_owned)),
        max_redemptions: Set(campaign.max_redemptions),
        max_per_user: Set(campaign.max_per_user),
        created_at: Set(now),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    let terms = Terms {
        name: &campaign.name,
        discount: campaign.discount,
        starts_at: campaign.starts_at,
        ends_at: campaign.ends_at,
        timezone,
        max_redemptions: campaign.max_redemptions,
        max_per_user: campaign.max_per_user,
    };
    let version = versions::ActiveModel {
        campaign_id: Set(campaign.id),
        version: Set(campaign.version),
        terms: Set(to_json(&terms)?),
        changed_by: Set(by),
        changed_at: Set(now),
    };
    versions::Entity::insert(version)
        .exec_without_returning(conn)
        .await?;
    Ok(())
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
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
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

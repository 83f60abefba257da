//! Campaigns and all the terms that they ever had.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter,
    QuerySelect, Statement, Value,
};
use shared::{
    clock::Instant,
    ids::{CampaignId, UserId},
};

use super::{from_json, page::Part, promocodes, to_json, unreadable};
use crate::domain::campaign::{Campaign, CampaignStatus, Recounted, RefundPolicy};

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
        pub total_recounted_in: Option<i64>,
        pub users_recounted_in: Option<i64>,
        pub title: Option<String>,
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

pub(super) fn read(row: Model) -> Result<KeptCampaign, DbErr> {
    let timezone = row
        .timezone
        .map(|name| name.parse().map_err(|_| unreadable("time zone", &name)));
    Ok(KeptCampaign {
        campaign: Campaign {
            id: row.id,
            version: row.version,
            name: row.name,
            title: row.title.as_deref().map(from_json).transpose()?,
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
            recounted: Recounted {
                total: row.total_recounted_in,
                per_user: row.users_recounted_in,
            },
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
        total_recounted_in: Set(campaign.recounted.total),
        users_recounted_in: Set(campaign.recounted.per_user),
        title: Set(campaign.title.as_ref().map(to_json).transpose()?),
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
    let backend = conn.get_database_backend();
    if backend == DbBackend::Postgres {
        // In a statement of its own, so that the next one sees what was committed until then.
        let sql = format!("SELECT pg_advisory_xact_lock({})", queue_of("$1::uuid"));
        conn.execute_raw(Statement::from_sql_and_values(backend, sql, [id.0.into()]))
            .await?;
    }
    let found = Entity::find_by_id(id).lock_exclusive();
    found.one(conn).await?.map(read).transpose()
}

/// The campaigns, in terms that stay in force until the end of the transaction. Locked in their
/// order; whoever else only shares them does not wait, unless somebody came before who is to
/// change one.
pub(crate) async fn share(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    let ids = ids.into_iter().map(|id| id.0.into()).collect();
    share_those(conn, "SELECT id FROM campaigns WHERE id", ids).await
}

/// The same of the campaigns that promocodes with these codes belong to. What is read of a
/// promocode afterwards stays as it is, too: who changes one locks its campaign before.
pub(crate) async fn share_of_codes(
    conn: &impl ConnectionTrait,
    codes: &BTreeSet<String>,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    let codes = codes.iter().map(|code| code.as_str().into()).collect();
    share_those(conn, "SELECT campaign_id AS id FROM promocodes WHERE code", codes).await
}

/// Those of which `which` names the ids when it is one of `values`.
async fn share_those(
    conn: &impl ConnectionTrait,
    which: &str,
    values: Vec<Value>,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    if values.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<_> = (1..=values.len()).map(|place| format!("${place}")).collect();
    let asked = format!("{which} IN ({})", places.join(", "));
    let backend = conn.get_database_backend();
    let sql = match backend {
        // One writes at a time there.
        DbBackend::Sqlite => format!("SELECT * FROM campaigns WHERE id IN ({asked}) ORDER BY id"),
        // The row's lock reads the newest terms, however long the queue was; but those who come may
        // share it past somebody who waits to change it, so all stand in a queue before it.
        _ => format!(
            "WITH queued AS MATERIALIZED (SELECT id, pg_advisory_xact_lock_shared({}) \
             FROM (SELECT DISTINCT id FROM ({asked}) AS asked ORDER BY id) AS sorted) \
             SELECT campaigns.* FROM campaigns JOIN queued ON queued.id = campaigns.id \
             ORDER BY campaigns.id FOR SHARE OF campaigns",
            queue_of("id")
        ),
    };
    let shared = Entity::find().from_raw_sql(Statement::from_sql_and_values(backend, sql, values));
    by_id(shared.all(conn).await?)
}

/// The advisory lock that stands for a campaign, on PostgreSQL: it is granted in the order in
/// which it is asked for. Should two campaigns ever have the same, they wait for each other.
fn queue_of(id: &str) -> String {
    format!("hashtextextended('campaign ' || ({id})::text, 0)")
}

/// The campaign, in its current terms.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: CampaignId) -> Result<Option<KeptCampaign>, DbErr> {
    Entity::find_by_id(id).one(conn).await?.map(read).transpose()
}

/// These campaigns, in their current terms.
pub(crate) async fn find_many(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    by_id(Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?)
}

/// The campaigns that run at `now` and may be shown to `user`: they are listed, or a promocode of
/// theirs is granted to them.
pub(crate) async fn running_for(
    conn: &impl ConnectionTrait,
    user: UserId,
    now: Instant,
) -> Result<HashMap<CampaignId, Campaign>, DbErr> {
    let runs = Condition::all()
        .add(Column::Status.eq(CampaignStatus::Active.as_str()))
        .add(
            Condition::any()
                .add(Column::StartsAt.is_null())
                .add(Column::StartsAt.lte(now)),
        )
        .add(
            Condition::any()
                .add(Column::EndsAt.is_null())
                .add(Column::EndsAt.gt(now)),
        );
    let shown = Condition::any()
        .add(Column::Listed.eq(true))
        .add(Column::Id.in_subquery(promocodes::campaigns_of_granted(user)));
    by_id(Entity::find().filter(runs).filter(shown).all(conn).await?)
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

//! Holds that wait for uses which others hold: a row a purchase, in the order in which they came.
//!
//! A transaction that adds or decides a row holds the locks of the counts that the row waits for. One
//! that settles a failed purchase deletes its row without these locks: see [`lock`].

use std::collections::BTreeSet;

use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType, OnConflict},
};
use shared::{
    clock::Instant,
    contracts::HoldPromocodeV1,
    ids::{CampaignId, PromocodeId, PurchaseId, UserId},
};

use super::{CHUNK, from_json, to_json};
use crate::domain::{batch::CounterKey, decision::WaitsFor, waiting::Waiting};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{CampaignId, PromocodeId, PurchaseId, UserId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "waiting_holds")]
    pub struct Model {
        /// The order in which they came.
        #[sea_orm(primary_key)]
        pub position: i64,
        pub purchase_id: PurchaseId,
        pub campaign_id: CampaignId,
        pub promocode_id: PromocodeId,
        pub user_id: UserId,
        /// The version of the campaign that it was judged by last.
        pub campaign_version: i64,
        /// Which counts kept it waiting then.
        pub for_campaign: bool,
        pub for_promocode: bool,
        pub for_user: bool,
        /// What was asked.
        pub command: String,
        /// The trace that asked.
        pub traceparent: Option<String>,
        pub arrived_at: Instant,
        pub gives_up_at: Instant,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A hold that begins to wait.
#[derive(Clone, Debug)]
pub(crate) struct NewWaitingHold {
    pub command: HoldPromocodeV1,
    pub campaign_id: CampaignId,
    pub promocode_id: PromocodeId,
    pub campaign_version: i64,
    pub waits_for: WaitsFor,
    pub traceparent: Option<String>,
    pub arrived_at: Instant,
    pub gives_up_at: Instant,
}

/// A hold that waits.
#[derive(Clone, Debug)]
pub(crate) struct WaitingHold {
    row: Model,
    pub command: HoldPromocodeV1,
}

impl WaitingHold {
    /// The trace that asked.
    pub fn traceparent(&self) -> Option<&str> {
        self.row.traceparent.as_deref()
    }

    /// When it is given up.
    pub fn gives_up_at(&self) -> Instant {
        self.row.gives_up_at
    }

    /// It goes on waiting, for these counts by this version of the terms; none if that is nothing new.
    pub fn judged_again(&self, waits_for: WaitsFor, campaign_version: i64) -> Option<Self> {
        let mut judged = self.clone();
        judged.row.campaign_version = campaign_version;
        judged.row.for_campaign = waits_for.campaign;
        judged.row.for_promocode = waits_for.promocode;
        judged.row.for_user = waits_for.user;
        (judged.row != self.row).then_some(judged)
    }
}

/// A place in the queue, without what was asked there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub purchase_id: PurchaseId,
    pub promocode_id: PromocodeId,
    pub user_id: UserId,
    pub waiting: Waiting,
}

/// What [`Place`] is read from.
type Columns = (
    PurchaseId,
    CampaignId,
    PromocodeId,
    UserId,
    i64,
    bool,
    bool,
    bool,
    Instant,
);

fn place(row: Columns) -> Place {
    let (
        purchase_id,
        campaign_id,
        promocode_id,
        user_id,
        campaign_version,
        campaign,
        promocode,
        user,
        gives_up_at,
    ) = row;
    let waits_for = [
        campaign.then_some(CounterKey::Campaign(campaign_id)),
        promocode.then_some(CounterKey::Promocode(promocode_id)),
        user.then_some(CounterKey::User(campaign_id, user_id)),
    ];
    Place {
        purchase_id,
        promocode_id,
        user_id,
        waiting: Waiting {
            campaign_id,
            campaign_version,
            waits_for: waits_for.into_iter().flatten().collect(),
            gives_up_at,
        },
    }
}

fn read(row: Model) -> Result<WaitingHold, DbErr> {
    let command = from_json(&row.command)?;
    Ok(WaitingHold { row, command })
}

/// Puts them at the end of the queue; one that has its place keeps it.
pub(crate) async fn insert(conn: &impl ConnectionTrait, holds: &[NewWaitingHold]) -> Result<(), DbErr> {
    for chunk in holds.chunks(CHUNK) {
        let rows = chunk
            .iter()
            .map(|hold| {
                Ok(ActiveModel {
                    position: NotSet,
                    purchase_id: Set(hold.command.purchase_id),
                    campaign_id: Set(hold.campaign_id),
                    promocode_id: Set(hold.promocode_id),
                    user_id: Set(hold.command.user_id),
                    campaign_version: Set(hold.campaign_version),
                    for_campaign: Set(hold.waits_for.campaign),
                    for_promocode: Set(hold.waits_for.promocode),
                    for_user: Set(hold.waits_for.user),
                    command: Set(to_json(&hold.command)?),
                    traceparent: Set(hold.traceparent.clone()),
                    arrived_at: Set(hold.arrived_at),
                    gives_up_at: Set(hold.gives_up_at),
                })
            })
            .collect::<Result<Vec<_>, DbErr>>()?;
        Entity::insert_many(rows)
            .on_conflict(OnConflict::column(Column::PurchaseId).do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// How many wait in all.
pub(crate) async fn count(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().count(conn).await
}

/// The places of the holds that wait for uses of these campaigns, in their order.
pub(crate) async fn places_of(
    conn: &impl ConnectionTrait,
    campaigns: &BTreeSet<CampaignId>,
) -> Result<Vec<Place>, DbErr> {
    let of_campaigns = Entity::find().filter(Column::CampaignId.is_in(campaigns.iter().copied()));
    read_places(conn, of_campaigns).await
}

/// The places of all waiting holds, in their order.
pub(crate) async fn places(conn: &impl ConnectionTrait) -> Result<Vec<Place>, DbErr> {
    read_places(conn, Entity::find()).await
}

async fn read_places(
    conn: &impl ConnectionTrait,
    select: sea_orm::Select<Entity>,
) -> Result<Vec<Place>, DbErr> {
    let columns = [
        Column::PurchaseId,
        Column::CampaignId,
        Column::PromocodeId,
        Column::UserId,
        Column::CampaignVersion,
        Column::ForCampaign,
        Column::ForPromocode,
        Column::ForUser,
        Column::GivesUpAt,
    ];
    let rows: Vec<Columns> = select
        .select_only()
        .columns(columns)
        .order_by_asc(Column::Position)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(place).collect())
}

/// The holds that wait for uses of a campaign, in their order.
pub(crate) async fn find_of(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
) -> Result<Vec<WaitingHold>, DbErr> {
    let rows = Entity::find()
        .filter(Column::CampaignId.eq(campaign))
        .order_by_asc(Column::Position)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

/// Locks those of `purchases` that still wait until the end of the transaction, which has locked their
/// counts. A row that another transaction has locked, since its purchase fails, is left out: that
/// transaction may go on to lock counts.
pub(crate) async fn lock(
    conn: &impl ConnectionTrait,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<BTreeSet<PurchaseId>, DbErr> {
    let locked: Vec<PurchaseId> = Entity::find()
        .select_only()
        .column(Column::PurchaseId)
        .filter(Column::PurchaseId.is_in(purchases))
        .order_by_asc(Column::Position)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(locked.into_iter().collect())
}

/// Writes what holds wait for that this transaction has locked.
pub(crate) async fn update(conn: &impl ConnectionTrait, holds: Vec<WaitingHold>) -> Result<(), DbErr> {
    let again = OnConflict::column(Column::Position)
        .update_columns([
            Column::CampaignVersion,
            Column::ForCampaign,
            Column::ForPromocode,
            Column::ForUser,
        ])
        .to_owned();
    for chunk in holds.chunks(CHUNK) {
        let rows = chunk
            .iter()
            .map(|hold| hold.row.clone().into_active_model().reset_all());
        Entity::insert_many(rows)
            .on_conflict(again.clone())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Takes the holds for these purchases out of the queue. Returns how many waited.
pub(crate) async fn delete(
    conn: &impl ConnectionTrait,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<u64, DbErr> {
    let purchases: BTreeSet<_> = purchases.into_iter().collect();
    if purchases.is_empty() {
        return Ok(0);
    }
    let deleted = Entity::delete_many().filter(Column::PurchaseId.is_in(purchases));
    Ok(deleted.exec(conn).await?.rows_affected)
}

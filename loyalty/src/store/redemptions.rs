//! Redemptions: one row a purchase.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockBehavior, LockType, OnConflict},
};
use shared::{
    clock::Instant,
    ids::{CampaignId, PromocodeId, PurchaseId, UserId},
};

use super::{CHUNK, page::Part, unreadable};
use crate::domain::{batch::CounterKey, campaign::Recounted, redemption::RedemptionStatus};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        contracts::NotHeldReason,
        ids::{CampaignId, PromocodeId, PurchaseId, TariffId, UserId},
        money::Amount,
    };

    /// A redemption. What a refused one, or one that was cancelled before its hold came, has not
    /// got is absent.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "redemptions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub purchase_id: PurchaseId,
        /// See `Redemption::stands`.
        pub status: String,
        pub user_id: UserId,
        pub tariff_id: TariffId,
        /// The code; as it was typed if it was refused. Empty if there is no such promocode and who
        /// typed it is deleted.
        pub promocode: Option<String>,
        /// Of a refused one too, if there is such a promocode.
        pub promocode_id: Option<PromocodeId>,
        pub campaign_id: Option<CampaignId>,
        /// The version of the terms that priced it.
        pub campaign_version: Option<i64>,
        pub list_price: Option<Amount>,
        pub discount: Option<Amount>,
        pub final_price: Option<Amount>,
        /// The version of the purchase that it has followed; 0 before any outcome.
        pub purchase_version: i64,
        /// In which counters its use was counted when it was taken. A limit that was added later
        /// counts it too: see `Redemption::counted_in`.
        pub counted_campaign: bool,
        pub counted_promocode: bool,
        pub counted_user: bool,
        pub requested_at: Option<Instant>,
        /// While it is held: when billing is asked what became of the purchase.
        pub next_report_at: Option<Instant>,
        /// How often billing was asked.
        pub reports: i32,
        pub created_at: Instant,
        pub updated_at: Instant,
        /// Whether the terms that priced it are for a first purchase.
        pub first_purchase_only: bool,
        /// Whether by those terms its use goes back when the purchase is refunded.
        pub returns_use: bool,
        /// Why no use was taken at its price; none where one was, or where the promocode was refused.
        pub not_held: Option<NotHeldReason>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use entity::Model as Redemption;
pub(super) use entity::{Column, Entity};

impl Redemption {
    /// Where it stands.
    pub(crate) fn stands(&self) -> Result<RedemptionStatus, DbErr> {
        RedemptionStatus::parse(&self.status).ok_or_else(|| unreadable("status", &self.status))
    }

    /// The counters in which its use, which it still takes, counts by now; `recounted` is what its
    /// campaign says.
    pub(crate) fn counted_in(&self, recounted: Recounted) -> impl Iterator<Item = CounterKey> {
        let since = |began: Option<i64>| {
            let version = self.campaign_version.zip(began);
            version.is_some_and(|(version, began)| version < began)
        };
        let campaign = self
            .campaign_id
            .filter(|_| self.counted_campaign || since(recounted.total))
            .map(CounterKey::Campaign);
        let promocode = self
            .promocode_id
            .filter(|_| self.counted_promocode)
            .map(CounterKey::Promocode);
        let user = self
            .campaign_id
            .filter(|_| self.counted_user || since(recounted.per_user));
        let user = user.map(|campaign| CounterKey::User(campaign, self.user_id));
        [campaign, promocode, user].into_iter().flatten()
    }

    /// Remembers the counters in which its use was counted.
    pub(crate) fn count_in(&mut self, counters: &[CounterKey]) {
        self.counted_campaign = counters.iter().any(|key| matches!(key, CounterKey::Campaign(_)));
        self.counted_promocode = counters.iter().any(|key| matches!(key, CounterKey::Promocode(_)));
        self.counted_user = counters.iter().any(|key| matches!(key, CounterKey::User(..)));
    }
}

/// How many uses each of these users has taken of the campaign's promocodes; who has taken none is
/// absent.
pub(crate) async fn taken_by(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    users: &[UserId],
) -> Result<Vec<(UserId, i64)>, DbErr> {
    let taken = RedemptionStatus::ALL
        .into_iter()
        .filter(|status| status.takes_a_use());
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .column_as(Column::PurchaseId.count(), "uses")
        .filter(Column::CampaignId.eq(campaign))
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(Column::Status.is_in(taken.map(RedemptionStatus::as_str)))
        .group_by(Column::UserId)
        .into_tuple()
        .all(conn)
        .await
}

/// The promocode and the user of each use of the campaign's promocodes that is held, and neither
/// confirmed nor given back yet.
pub(crate) async fn held_of_campaign(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
) -> Result<Vec<(Option<PromocodeId>, UserId)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::PromocodeId)
        .column(Column::UserId)
        .filter(Column::CampaignId.eq(campaign))
        .filter(Column::Status.eq(RedemptionStatus::Held.as_str()))
        .into_tuple()
        .all(conn)
        .await
}

/// The redemptions of these purchases, sorted.
pub(crate) async fn find_many(
    conn: &impl ConnectionTrait,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<BTreeMap<PurchaseId, Redemption>, DbErr> {
    let rows = Entity::find()
        .filter(Column::PurchaseId.is_in(purchases))
        .all(conn)
        .await?;
    Ok(by_purchase(rows))
}

/// The same, locked in their order until the end of the transaction.
pub(crate) async fn lock_many(
    conn: &impl ConnectionTrait,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<BTreeMap<PurchaseId, Redemption>, DbErr> {
    let rows = Entity::find()
        .filter(Column::PurchaseId.is_in(purchases))
        .order_by_asc(Column::PurchaseId)
        .lock_exclusive()
        .all(conn)
        .await?;
    Ok(by_purchase(rows))
}

fn by_purchase(rows: Vec<Redemption>) -> BTreeMap<PurchaseId, Redemption> {
    rows.into_iter().map(|row| (row.purchase_id, row)).collect()
}

/// Keeps new redemptions; a purchase that has one already keeps that. Returns how many were kept.
pub(crate) async fn insert(conn: &impl ConnectionTrait, mut rows: Vec<Redemption>) -> Result<u64, DbErr> {
    // Two replicas that decide the same purchases wait for each other in one direction only.
    rows.sort_unstable_by_key(|row| row.purchase_id);
    let mut inserted = 0;
    for chunk in rows.chunks(CHUNK) {
        inserted += Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(OnConflict::column(Column::PurchaseId).do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(inserted)
}

/// Writes where redemptions stand that this transaction has locked.
pub(crate) async fn update(conn: &impl ConnectionTrait, rows: Vec<Redemption>) -> Result<(), DbErr> {
    let follow = OnConflict::column(Column::PurchaseId)
        .update_columns([
            Column::Status,
            Column::PurchaseVersion,
            Column::NextReportAt,
            Column::Reports,
            Column::UpdatedAt,
        ])
        .to_owned();
    for chunk in rows.chunks(CHUNK) {
        Entity::insert_many(chunk.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(follow.clone())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Empties what these users typed where there is no such promocode.
pub(crate) async fn forget_what_was_typed(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Promocode, Expr::value(""))
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(Column::Status.eq(RedemptionStatus::Refused.as_str()))
        .filter(Column::PromocodeId.is_null())
        .exec(conn)
        .await?;
    Ok(())
}

/// The redemptions of these campaigns that are held.
pub(crate) async fn held_of(
    conn: &impl ConnectionTrait,
    campaigns: impl IntoIterator<Item = CampaignId>,
) -> Result<Vec<Redemption>, DbErr> {
    Entity::find()
        // Word for word as in the index of those that are held, which are few at any time: a value that is
        // bound would not lead there.
        .filter(Expr::cust("status = 'held' AND next_report_at IS NOT NULL"))
        .filter(Column::CampaignId.is_in(campaigns))
        .all(conn)
        .await
}

/// At most `limit` held redemptions about which billing is to be asked by now, locked; those that
/// another replica has in hand are left to it.
pub(crate) async fn lock_stale(
    conn: &impl ConnectionTrait,
    now: Instant,
    limit: u64,
) -> Result<Vec<Redemption>, DbErr> {
    stale(now)
        .order_by_asc(Column::NextReportAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(conn)
        .await
}

/// Whether there are such.
pub(crate) async fn any_stale(conn: &impl ConnectionTrait, now: Instant) -> Result<bool, DbErr> {
    Ok(stale(now).one(conn).await?.is_some())
}

fn stale(now: Instant) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::Status.eq(RedemptionStatus::Held.as_str()))
        .filter(Column::NextReportAt.lte(now))
}

/// A user's redemptions, newest first.
pub(crate) async fn list_of_user(
    conn: &impl ConnectionTrait,
    user: UserId,
    part: Part,
) -> Result<Vec<Redemption>, DbErr> {
    list(conn, Entity::find().filter(Column::UserId.eq(user)), part).await
}

/// The redemptions of a campaign's promocodes, newest first.
pub(crate) async fn list_of_campaign(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    part: Part,
) -> Result<Vec<Redemption>, DbErr> {
    list(conn, Entity::find().filter(Column::CampaignId.eq(campaign)), part).await
}

async fn list(
    conn: &impl ConnectionTrait,
    select: sea_orm::Select<Entity>,
    part: Part,
) -> Result<Vec<Redemption>, DbErr> {
    part.of(select, Column::CreatedAt, Column::PurchaseId)
        .all(conn)
        .await
}

/// At most `limit` purchases whose redemptions take a use and were made before `before`, by id,
/// from behind `after` on.
pub(crate) async fn taken_before(
    conn: &impl ConnectionTrait,
    before: Instant,
    after: Option<PurchaseId>,
    limit: u64,
) -> Result<Vec<PurchaseId>, DbErr> {
    let taken = RedemptionStatus::ALL
        .into_iter()
        .filter(|status| status.takes_a_use());
    let mut select = Entity::find()
        .select_only()
        .column(Column::PurchaseId)
        .filter(Column::Status.is_in(taken.map(RedemptionStatus::as_str)))
        .filter(Column::CreatedAt.lt(before));
    if let Some(after) = after {
        select = select.filter(Column::PurchaseId.gt(after));
    }
    select
        .order_by_asc(Column::PurchaseId)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
}

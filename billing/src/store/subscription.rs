//! The subscriptions.

mod deleted;

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, IntoValueTuple as _, LockBehavior, LockType, Query},
};
use shared::{
    clock::Instant,
    ids::{PurchaseId, SubscriptionId, TariffId, UserId},
};

pub use deleted::{end_of_users, left_by_deleted};

use super::{After, nth, older, update_each};
use crate::domain::{chain::Chain, period::Period, subscription::Subscription};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{PurchaseId, SubscriptionId, TariffId, UserId},
    };

    /// What a paid purchase gave.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "subscriptions")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SubscriptionId,
        /// The purchase that gave it; unique.
        pub purchase_id: PurchaseId,
        /// Whose.
        pub user_id: UserId,
        /// To what.
        pub tariff_id: TariffId,
        /// From when.
        pub starts_at: Instant,
        /// To when.
        pub ends_at: Instant,
        /// When its user said that they want no other after it.
        pub cancelled_at: Option<Instant>,
        /// When it was decided whether to tell its user that it ends.
        pub ending_said_at: Option<Instant>,
        /// From when its end is counted; this and the three that follow are absent where an older program
        /// sold it.
        pub anchor_at: Option<Instant>,
        /// By the clocks of which zone.
        pub anchor_zone: Option<String>,
        /// How many months after the anchor it ends.
        pub anchor_months: Option<i64>,
        /// How many days after those.
        pub anchor_days: Option<i64>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A chain as the database keeps it.
pub struct ChainColumns {
    /// `anchor_at`
    pub at: Option<Instant>,
    /// `anchor_zone`
    pub zone: Option<String>,
    /// `anchor_months`
    pub months: Option<i64>,
    /// `anchor_days`
    pub days: Option<i64>,
}

impl ChainColumns {
    /// The chain, where one was kept of which this program knows the zone.
    #[must_use]
    pub fn read(&self) -> Option<Chain> {
        Some(Chain {
            anchor: self.at?,
            zone: self.zone.as_deref()?.parse().ok()?,
            months: u32::try_from(self.months?).ok()?,
            days: u32::try_from(self.days?).ok()?,
        })
    }

    fn of(chain: Option<Chain>) -> Self {
        Self {
            at: chain.map(|chain| chain.anchor),
            zone: chain.map(|chain| chain.zone.name().to_owned()),
            months: chain.map(|chain| chain.months.into()),
            days: chain.map(|chain| chain.days.into()),
        }
    }
}

fn read(row: Model) -> Subscription {
    let chain = ChainColumns {
        at: row.anchor_at,
        zone: row.anchor_zone,
        months: row.anchor_months,
        days: row.anchor_days,
    };
    Subscription {
        chain: chain.read(),
        id: row.id,
        purchase_id: row.purchase_id,
        user_id: row.user_id,
        tariff_id: row.tariff_id,
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        cancelled_at: row.cancelled_at,
    }
}

/// Writes new subscriptions.
///
/// # Errors
/// When the database refuses, for instance a second one of the same purchase.
pub async fn insert(conn: &impl ConnectionTrait, subscriptions: &[Subscription]) -> Result<(), DbErr> {
    if subscriptions.is_empty() {
        return Ok(());
    }
    let rows = subscriptions.iter().map(row);
    Entity::insert_many(rows).exec_without_returning(conn).await?;
    Ok(())
}

fn row(subscription: &Subscription) -> ActiveModel {
    let chain = ChainColumns::of(subscription.chain);
    ActiveModel {
        id: Set(subscription.id),
        purchase_id: Set(subscription.purchase_id),
        user_id: Set(subscription.user_id),
        tariff_id: Set(subscription.tariff_id),
        starts_at: Set(subscription.starts_at),
        ends_at: Set(subscription.ends_at),
        cancelled_at: Set(subscription.cancelled_at),
        ending_said_at: Set(None),
        anchor_at: Set(chain.at),
        anchor_zone: Set(chain.zone),
        anchor_months: Set(chain.months),
        anchor_days: Set(chain.days),
    }
}

/// The user's subscriptions to a tariff that start at or after `from`, with their periods, by their
/// start.
///
/// # Errors
/// When the database does not answer, or keeps a period that is none.
pub async fn starting_from(
    conn: &impl ConnectionTrait,
    user: UserId,
    tariff: TariffId,
    from: Instant,
) -> Result<Vec<(Subscription, Period)>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(Column::TariffId.eq(tariff))
        .filter(Column::StartsAt.gte(from))
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::Id)
        .all(conn)
        .await?;
    let purchases = rows.iter().map(|row| row.purchase_id);
    let periods = super::purchase::periods(conn, purchases).await?;
    let with_period = |row: Model| Some((periods.get(&row.purchase_id).copied()?, read(row)));
    Ok(rows
        .into_iter()
        .filter_map(with_period)
        .map(|(period, subscription)| (subscription, period))
        .collect())
}

/// Writes when subscriptions start and end and from what that is counted, each at most once.
///
/// # Errors
/// When the database refuses, or there is no such subscription.
pub async fn reschedule(conn: &impl ConnectionTrait, changed: &[Subscription]) -> Result<(), DbErr> {
    let rows = changed
        .iter()
        .map(|changed| {
            let chain = ChainColumns::of(changed.chain);
            let (zone, months, days) = (chain.zone, chain.months, chain.days);
            (
                changed.id,
                changed.starts_at,
                changed.ends_at,
                chain.at,
                zone,
                months,
                days,
            )
                .into_value_tuple()
        })
        .collect();
    let update = &mut Query::update()
        .table(Entity)
        .value(Column::StartsAt, nth(2))
        .value(Column::EndsAt, nth(3))
        .value(Column::AnchorAt, nth(4))
        .value(Column::AnchorZone, nth(5))
        .value(Column::AnchorMonths, nth(6))
        .value(Column::AnchorDays, nth(7))
        .and_where(Expr::col((Entity, Column::Id)).eq(nth(1)))
        .to_owned();
    update_each(conn, update, rows).await
}

/// What `purchases` gave; those that gave nothing are absent.
///
/// # Errors
/// When the database does not answer.
pub async fn of_purchases(
    conn: &impl ConnectionTrait,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<HashMap<PurchaseId, Subscription>, DbErr> {
    let rows = Entity::find()
        .filter(Column::PurchaseId.is_in(purchases))
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.purchase_id, read(row))).collect())
}

/// Which subscriptions.
#[derive(Clone, Debug)]
pub struct SubscriptionFilter {
    /// Whose.
    pub user_id: UserId,
    /// Only those that run at this instant (true) or do not (false).
    pub running_at: Option<(Instant, bool)>,
    /// To what.
    pub tariff_id: Option<TariffId>,
    /// From behind this one on.
    pub after: After,
    /// At most so many.
    pub limit: u64,
}

/// The subscriptions that `filter` asks for, the last to start first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &impl ConnectionTrait,
    filter: &SubscriptionFilter,
) -> Result<Vec<Subscription>, DbErr> {
    let mut found = Entity::find()
        .filter(Column::UserId.eq(filter.user_id))
        .filter(older(Column::StartsAt, Column::Id, filter.after));
    if let Some((now, runs)) = filter.running_at {
        let running = Condition::all()
            .add(Column::StartsAt.lte(now))
            .add(Column::EndsAt.gt(now));
        found = found.filter(if runs { running } else { running.not() });
    }
    if let Some(tariff) = filter.tariff_id {
        found = found.filter(Column::TariffId.eq(tariff));
    }
    let rows = found
        .order_by_desc(Column::StartsAt)
        .order_by_desc(Column::Id)
        .limit(filter.limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// The subscription `id`, locked for this transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(conn: &impl ConnectionTrait, id: SubscriptionId) -> Result<Option<Subscription>, DbErr> {
    let row = Entity::find_by_id(id).lock_exclusive().one(conn).await?;
    Ok(row.map(read))
}

/// Writes when a subscription was cancelled.
///
/// # Errors
/// When the database refuses, or there is no such subscription.
pub async fn cancel(conn: &impl ConnectionTrait, cancelled: &Subscription) -> Result<(), DbErr> {
    let row = ActiveModel {
        cancelled_at: Set(cancelled.cancelled_at),
        ..Default::default()
    };
    let written = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(cancelled.id))
        .exec(conn)
        .await?;
    if written.rows_affected == 1 {
        Ok(())
    } else {
        Err(DbErr::RecordNotUpdated)
    }
}

/// Whether any subscription waits for [`lock_ending`].
///
/// # Errors
/// When the database does not answer.
pub async fn any_ending(conn: &impl ConnectionTrait, now: Instant, until: Instant) -> Result<bool, DbErr> {
    Ok(ending(now, until).one(conn).await?.is_some())
}

/// At most `limit` subscriptions that end after `now` and until `until`, that nothing of the same
/// user and tariff outlasts, that are not cancelled and of which it was not yet decided whether to
/// tell; locked for this transaction. Those that somebody else has in hand are left to them.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_ending(
    conn: &impl ConnectionTrait,
    now: Instant,
    until: Instant,
    limit: u64,
) -> Result<Vec<Subscription>, DbErr> {
    let rows = ending(now, until)
        .order_by_asc(Column::Id)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(read).collect())
}

fn ending(now: Instant, until: Instant) -> sea_orm::Select<Entity> {
    let outlasting = Query::select()
        .expr(Expr::val(1))
        .from_as(Entity, "later")
        .and_where(Expr::col(("later", Column::UserId)).equals((Entity, Column::UserId)))
        .and_where(Expr::col(("later", Column::TariffId)).equals((Entity, Column::TariffId)))
        .and_where(Expr::col(("later", Column::EndsAt)).gt(Expr::col((Entity, Column::EndsAt))))
        .and_where(Expr::col(("later", Column::EndsAt)).gt(Expr::col(("later", Column::StartsAt))))
        .to_owned();
    Entity::find()
        .filter(Column::EndingSaidAt.is_null())
        .filter(Column::CancelledAt.is_null())
        .filter(Column::EndsAt.gt(now))
        .filter(Column::EndsAt.lte(until))
        // What was taken back before it began has no end to tell of.
        .filter(Expr::col((Entity, Column::EndsAt)).gt(Expr::col((Entity, Column::StartsAt))))
        .filter(Expr::exists(outlasting).not())
}

/// Writes that it was decided about `ids` whether to tell that they end.
///
/// # Errors
/// When the database refuses.
pub async fn mark_ending_said(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = SubscriptionId>,
    at: Instant,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::EndingSaidAt, Expr::val(at))
        .filter(Column::Id.is_in(ids))
        .exec(conn)
        .await?;
    Ok(())
}

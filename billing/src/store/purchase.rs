//! The purchases.

mod typed;

pub use typed::forget_what_was_typed;

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
    sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query, Value, ValueTuple},
};
use shared::{
    clock::Instant,
    contracts::Reason,
    ids::{PurchaseId, TariffId, UserId},
    money::Amount,
};

use super::{After, nth, older, unreadable, update_each};
use crate::domain::{
    period::Period,
    purchase::{Purchase, PurchaseState, Refund},
};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        contracts::FailureReason,
        ids::{PurchaseId, TariffId, UserId},
        money::Amount,
    };

    /// One attempt to buy a tariff.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "purchases")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: PurchaseId,
        /// Grows by one with every change of state.
        pub version: i64,
        /// Who buys.
        pub user_id: UserId,
        /// What.
        pub tariff_id: TariffId,
        /// In which version.
        pub tariff_version: i64,
        /// Its name then.
        pub tariff_name: String,
        /// Its price then.
        pub list_price: Amount,
        /// What the promocode takes off.
        pub discount: Amount,
        /// What was charged; only of what was paid.
        pub charged: Option<Amount>,
        /// For how long, ISO 8601.
        pub period: String,
        /// As the customer typed it; empty if it failed and they are deleted.
        pub promocode: Option<String>,
        /// What the buyer expects to be charged.
        pub expected_price: Option<Amount>,
        /// How far it has come.
        pub state: String,
        /// Why it failed.
        pub failure_reason: Option<FailureReason>,
        /// The customer's copy of why the promocode was refused, as JSON.
        pub refusal_reasons: Option<String>,
        /// When it was asked for.
        pub requested_at: Instant,
        /// When waiting ends.
        pub deadline: Instant,
        /// When it was paid or failed.
        pub settled_at: Option<Instant>,
        /// What the wallet held then.
        pub balance_after: Option<Amount>,
        /// When it was given back.
        pub refunded_at: Option<Instant>,
        /// Why it was given back.
        pub refund_reason: Option<String>,
        /// What the wallet held after it was given back.
        pub refund_balance_after: Option<Amount>,
        /// The subscriptions that moved up when it was given back, as JSON; none where none did.
        pub refund_moved: Option<String>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// What is written for a purchase that was decided.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The version that was read and decided on.
    pub read_version: i64,
    /// The purchase after it.
    pub purchase: Purchase,
}

fn read(row: Model) -> Result<Purchase, DbErr> {
    let refusal_reasons = row
        .refusal_reasons
        .as_deref()
        .map(serde_json::from_str)
        .transpose();
    let moved = row.refund_moved.as_deref().map(serde_json::from_str).transpose();
    let moved = moved.map_err(unreadable)?.unwrap_or_default();
    let refund = match (row.refund_reason, row.refunded_at, row.refund_balance_after) {
        (Some(reason), Some(refunded_at), Some(balance_after)) => Some(Refund {
            reason,
            refunded_at,
            balance_after,
            moved,
        }),
        _ => None,
    };
    Ok(Purchase {
        id: row.id,
        version: row.version,
        user_id: row.user_id,
        tariff_id: row.tariff_id,
        tariff_version: row.tariff_version,
        tariff_name: row.tariff_name,
        list_price: row.list_price,
        discount: row.discount,
        period: row.period.parse().map_err(unreadable)?,
        promocode: row.promocode,
        expected_price: row.expected_price,
        state: PurchaseState::parse(&row.state, row.failure_reason).map_err(unreadable)?,
        refusal_reasons: refusal_reasons.map_err(unreadable)?.unwrap_or_default(),
        requested_at: row.requested_at,
        deadline: row.deadline,
        settled_at: row.settled_at,
        balance_after: row.balance_after,
        refund,
    })
}

fn charged(purchase: &Purchase) -> Option<Amount> {
    matches!(purchase.state, PurchaseState::Paid | PurchaseState::Refunded).then(|| purchase.cost())
}

fn reasons_json(reasons: &[Reason]) -> Result<Option<String>, DbErr> {
    if reasons.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(reasons)
        .map(Some)
        .map_err(|error| DbErr::Json(error.to_string()))
}

fn moved_json(purchase: &Purchase) -> Result<Option<String>, DbErr> {
    let moved = purchase.refund.as_ref().map(|refund| &refund.moved);
    moved
        .filter(|moved| !moved.is_empty())
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| DbErr::Json(error.to_string()))
}

/// Writes new purchases.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, purchases: &[Purchase]) -> Result<(), DbErr> {
    if purchases.is_empty() {
        return Ok(());
    }
    let rows = purchases.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Entity::insert_many(rows).exec_without_returning(conn).await?;
    Ok(())
}

fn row(purchase: &Purchase) -> Result<ActiveModel, DbErr> {
    Ok(ActiveModel {
        id: Set(purchase.id),
        version: Set(purchase.version),
        user_id: Set(purchase.user_id),
        tariff_id: Set(purchase.tariff_id),
        tariff_version: Set(purchase.tariff_version),
        tariff_name: Set(purchase.tariff_name.clone()),
        list_price: Set(purchase.list_price),
        discount: Set(purchase.discount),
        charged: Set(charged(purchase)),
        period: Set(purchase.period.to_string()),
        promocode: Set(purchase.promocode.clone()),
        expected_price: Set(purchase.expected_price),
        state: Set(purchase.state.as_str().to_owned()),
        failure_reason: Set(purchase.state.failure()),
        refusal_reasons: Set(reasons_json(&purchase.refusal_reasons)?),
        requested_at: Set(purchase.requested_at),
        deadline: Set(purchase.deadline),
        settled_at: Set(purchase.settled_at),
        balance_after: Set(purchase.balance_after),
        refunded_at: Set(purchase.refund.as_ref().map(|refund| refund.refunded_at)),
        refund_reason: Set(purchase.refund.as_ref().map(|refund| refund.reason.clone())),
        refund_balance_after: Set(purchase.refund.as_ref().map(|refund| refund.balance_after)),
        refund_moved: Set(moved_json(purchase)?),
    })
}

/// Writes what was decided, each purchase at most once, if it still is of the version read.
///
/// # Errors
/// When the database refuses, or a purchase is of another version.
pub async fn settle(conn: &impl ConnectionTrait, settled: &[Settled]) -> Result<(), DbErr> {
    let rows = settled
        .iter()
        .map(settled_values)
        .collect::<Result<Vec<_>, _>>()?;
    let update = &mut Query::update()
        .table(Entity)
        .value(Column::Version, nth(3))
        .value(Column::State, nth(4))
        .value(Column::FailureReason, nth(5))
        .value(Column::Discount, nth(6))
        .value(Column::Charged, nth(7))
        .value(Column::RefusalReasons, nth(8))
        .value(Column::SettledAt, nth(9))
        .value(Column::BalanceAfter, nth(10))
        .value(Column::RefundedAt, nth(11))
        .value(Column::RefundReason, nth(12))
        .value(Column::RefundBalanceAfter, nth(13))
        .value(Column::Promocode, nth(14))
        .value(Column::RefundMoved, nth(15))
        .and_where(Expr::col((Entity, Column::Id)).eq(nth(1)))
        .and_where(Expr::col((Entity, Column::Version)).eq(nth(2)))
        .to_owned();
    update_each(conn, update, rows).await
}

fn settled_values(settled: &Settled) -> Result<ValueTuple, DbErr> {
    let Settled {
        read_version,
        purchase,
    } = settled;
    let values: Vec<Value> = vec![
        purchase.id.into(),
        (*read_version).into(),
        purchase.version.into(),
        purchase.state.as_str().into(),
        purchase.state.failure().into(),
        purchase.discount.into(),
        charged(purchase).into(),
        reasons_json(&purchase.refusal_reasons)?.into(),
        purchase.settled_at.into(),
        purchase.balance_after.into(),
        purchase.refund.as_ref().map(|refund| refund.refunded_at).into(),
        purchase
            .refund
            .as_ref()
            .map(|refund| refund.reason.clone())
            .into(),
        purchase.refund.as_ref().map(|refund| refund.balance_after).into(),
        purchase.promocode.clone().into(),
        moved_json(purchase)?.into(),
    ];
    Ok(ValueTuple::Many(values))
}

/// The purchase `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: PurchaseId) -> Result<Option<Purchase>, DbErr> {
    Entity::find_by_id(id).one(conn).await?.map(read).transpose()
}

/// Those of `ids` that are no longer pending.
///
/// # Errors
/// When the database does not answer.
pub async fn find_settled(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PurchaseId>,
) -> Result<Vec<Purchase>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids))
        .filter(Column::State.ne(PurchaseState::Pending.as_str()))
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

/// Those of `ids` that are pending.
///
/// # Errors
/// When the database does not answer.
pub async fn find_pending(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PurchaseId>,
) -> Result<Vec<Purchase>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids))
        .filter(Column::State.eq(PurchaseState::Pending.as_str()))
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

/// Those of `ids` that there are, locked for this transaction, in one order for everybody.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(
    conn: &impl ConnectionTrait,
    ids: &BTreeSet<PurchaseId>,
) -> Result<HashMap<PurchaseId, Purchase>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|row| read(row).map(|purchase| (purchase.id, purchase)))
        .collect()
}

/// Where to go on among overdue purchases: after this deadline and id.
pub type AfterOverdue = Option<(Instant, PurchaseId)>;

/// At most `limit` purchases that still wait at their deadline, the oldest deadline first.
///
/// # Errors
/// When the database does not answer.
pub async fn overdue_after(
    conn: &impl ConnectionTrait,
    now: Instant,
    after: AfterOverdue,
    limit: u64,
) -> Result<Vec<(Instant, PurchaseId)>, DbErr> {
    let mut waiting = overdue(now)
        .select_only()
        .column(Column::Deadline)
        .column(Column::Id)
        .order_by_asc(Column::Deadline)
        .order_by_asc(Column::Id)
        .limit(limit);
    if let Some((deadline, id)) = after {
        let same = Condition::all()
            .add(Column::Deadline.eq(deadline))
            .add(Column::Id.gt(id));
        waiting = waiting.filter(Condition::any().add(Column::Deadline.gt(deadline)).add(same));
    }
    waiting.into_tuple().all(conn).await
}

/// Those of `ids` that are pending, locked for this transaction; those that somebody else has in
/// hand are left to them.
///
/// # Errors
/// When the database does not answer.
pub async fn lock_pending(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PurchaseId>,
) -> Result<Vec<PurchaseId>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(ids))
        .filter(Column::State.eq(PurchaseState::Pending.as_str()))
        .order_by_asc(Column::Id)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(conn)
        .await
}

fn overdue(now: Instant) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::State.eq(PurchaseState::Pending.as_str()))
        .filter(Column::Deadline.lte(now))
}

/// Which purchases.
#[derive(Clone, Debug)]
pub struct PurchaseFilter {
    /// Whose.
    pub user_id: UserId,
    /// How far they have come: [`PurchaseState::as_str`].
    pub status: Option<&'static str>,
    /// Of what.
    pub tariff_id: Option<TariffId>,
    /// Asked for then or later.
    pub from: Option<Instant>,
    /// Asked for before then.
    pub to: Option<Instant>,
    /// From behind this one on.
    pub after: After,
    /// At most so many.
    pub limit: u64,
}

/// The purchases that `filter` asks for, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &impl ConnectionTrait, filter: &PurchaseFilter) -> Result<Vec<Purchase>, DbErr> {
    let mut found = Entity::find()
        .filter(Column::UserId.eq(filter.user_id))
        .filter(older(Column::RequestedAt, Column::Id, filter.after));
    if let Some(status) = filter.status {
        found = found.filter(Column::State.eq(status));
    }
    if let Some(tariff) = filter.tariff_id {
        found = found.filter(Column::TariffId.eq(tariff));
    }
    if let Some(from) = filter.from {
        found = found.filter(Column::RequestedAt.gte(from));
    }
    if let Some(to) = filter.to {
        found = found.filter(Column::RequestedAt.lt(to));
    }
    let rows = found
        .order_by_desc(Column::RequestedAt)
        .order_by_desc(Column::Id)
        .limit(filter.limit)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

/// At most `limit` purchases whose last change, to paid, failed or refunded, was before `before`, by
/// id, from after `after` on.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_before(
    conn: &impl ConnectionTrait,
    before: Instant,
    after: Option<PurchaseId>,
    limit: u64,
) -> Result<Vec<Purchase>, DbErr> {
    let mut settled = last_changed(before).order_by_asc(Column::Id).limit(limit);
    if let Some(after) = after {
        settled = settled.filter(Column::Id.gt(after));
    }
    let rows = settled.all(conn).await?;
    rows.into_iter().map(read).collect()
}

/// The same of those among `ids`, by id.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_among(
    conn: &impl ConnectionTrait,
    before: Instant,
    ids: &[PurchaseId],
) -> Result<Vec<Purchase>, DbErr> {
    let settled = last_changed(before).filter(Column::Id.is_in(ids.iter().copied()));
    let rows = settled.order_by_asc(Column::Id).all(conn).await?;
    rows.into_iter().map(read).collect()
}

fn last_changed(before: Instant) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::SettledAt.lt(before))
        .filter(Column::RefundedAt.is_null().or(Column::RefundedAt.lt(before)))
}

/// For how long what was bought by each of `ids` runs.
///
/// # Errors
/// When the database does not answer, or keeps a period that is none.
pub async fn periods(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PurchaseId>,
) -> Result<HashMap<PurchaseId, Period>, DbErr> {
    let rows: Vec<(PurchaseId, String)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::Period)
        .filter(Column::Id.is_in(ids))
        .into_tuple()
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(id, period)| Ok((id, period.parse().map_err(unreadable)?)))
        .collect()
}

/// What the tariff of each of `ids` was called when it was bought.
///
/// # Errors
/// When the database does not answer.
pub async fn tariff_names(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = PurchaseId>,
) -> Result<HashMap<PurchaseId, String>, DbErr> {
    let rows: Vec<(PurchaseId, String)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::TariffName)
        .filter(Column::Id.is_in(ids))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Those of `users` who have paid for something. What was refunded since was a purchase too, or a
/// first one could be made, given back and made again without end.
///
/// Looks by what purchases gave, since failed ones gave nothing, however many there are: for each
/// user it takes one row.
///
/// # Errors
/// When the database does not answer.
pub async fn who_has_purchased(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<HashSet<UserId>, DbErr> {
    let values: Vec<Value> = users.into_iter().map(Into::into).collect();
    if values.is_empty() {
        return Ok(HashSet::new());
    }
    let backend = conn.get_database_backend();
    let places: Vec<_> = (1..=values.len()).map(|place| format!("(${place})")).collect();
    let sql = format!(
        "SELECT asked.column1 AS user_id FROM (VALUES {}) AS asked WHERE EXISTS (SELECT 1 FROM subscriptions s \
         WHERE s.user_id = asked.column1)",
        places.join(", ")
    );
    let rows = conn
        .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    rows.into_iter().map(|row| row.try_get("", "user_id")).collect()
}

#[cfg(test)]
mod tests;

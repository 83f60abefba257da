//! Looks purchases up, with what they gave.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::PurchaseId;

pub use crate::store::purchase::PurchaseFilter;
use crate::{
    domain::{purchase::Purchase, subscription::Subscription},
    store,
};

/// A purchase, and the subscription it gave if it was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseView {
    /// The purchase.
    pub purchase: Purchase,
    /// What it gave.
    pub subscription: Option<Subscription>,
}

/// The purchase `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn read_purchase(
    conn: &impl ConnectionTrait,
    id: PurchaseId,
) -> Result<Option<PurchaseView>, DbErr> {
    let Some(purchase) = store::purchase::find(conn, id).await? else {
        return Ok(None);
    };
    Ok(with_subscriptions(conn, vec![purchase]).await?.pop())
}

/// Those of `ids` that have ended.
///
/// # Errors
/// When the database does not answer.
pub async fn read_ended(
    conn: &impl ConnectionTrait,
    ids: Vec<PurchaseId>,
) -> Result<Vec<PurchaseView>, DbErr> {
    let purchases = store::purchase::find_settled(conn, ids).await?;
    with_subscriptions(conn, purchases).await
}

/// The purchases that `filter` asks for, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_purchases(
    conn: &impl ConnectionTrait,
    filter: &PurchaseFilter,
) -> Result<Vec<PurchaseView>, DbErr> {
    let purchases = store::purchase::list(conn, filter).await?;
    with_subscriptions(conn, purchases).await
}

async fn with_subscriptions(
    conn: &impl ConnectionTrait,
    purchases: Vec<Purchase>,
) -> Result<Vec<PurchaseView>, DbErr> {
    let settled = purchases
        .iter()
        .filter(|purchase| purchase.settled_at.is_some())
        .map(|purchase| purchase.id);
    let settled: Vec<_> = settled.collect();
    let mut given = if settled.is_empty() {
        std::collections::HashMap::new()
    } else {
        store::subscription::of_purchases(conn, settled).await?
    };
    let view = |purchase: Purchase| PurchaseView {
        subscription: given.remove(&purchase.id),
        purchase,
    };
    Ok(purchases.into_iter().map(view).collect())
}

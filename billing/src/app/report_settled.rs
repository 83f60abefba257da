//! Tells how purchases ended, for holding them against redemptions and letters.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    ids::{PurchaseId, UserId},
    money::Amount,
};

use crate::{
    domain::purchase::{Purchase, PurchaseState},
    store,
};

/// A purchase that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledPurchase {
    /// Which.
    pub purchase_id: PurchaseId,
    /// Whose.
    pub user_id: UserId,
    /// How it ended.
    pub state: PurchaseState,
    /// Whether a redemption follows it.
    pub with_promocode: bool,
    /// What was charged, in minor units; zero if it failed.
    pub charged: Amount,
    /// When it ended; of a refunded one, when it was given back.
    pub settled_at: Instant,
}

/// Rows in memory at once.
const PAGE: u64 = 1_000;

/// Every purchase that ended before `before`. [`settled_page`] takes less memory.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_purchases(
    conn: &impl ConnectionTrait,
    before: Instant,
) -> Result<Vec<SettledPurchase>, DbErr> {
    let mut all: Vec<SettledPurchase> = Vec::new();
    loop {
        let after = all.last().map(|last| last.purchase_id);
        let page = settled_page(conn, before, after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// At most `limit` of the purchases that ended before `before`, by id, from after `after` on: give
/// the last one's id to go on, until none come.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_page(
    conn: &impl ConnectionTrait,
    before: Instant,
    after: Option<PurchaseId>,
    limit: u64,
) -> Result<Vec<SettledPurchase>, DbErr> {
    let purchases = store::purchase::settled_before(conn, before, after, limit).await?;
    Ok(report(purchases))
}

/// Those among `ids` that ended before `before`, by id. What became of one of them since, as by a
/// refund, leaves it out.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_among(
    conn: &impl ConnectionTrait,
    before: Instant,
    ids: &[PurchaseId],
) -> Result<Vec<SettledPurchase>, DbErr> {
    Ok(report(store::purchase::settled_among(conn, before, ids).await?))
}

fn report(purchases: Vec<Purchase>) -> Vec<SettledPurchase> {
    purchases
        .into_iter()
        .filter_map(|purchase| {
            let paid = matches!(purchase.state, PurchaseState::Paid | PurchaseState::Refunded);
            Some(SettledPurchase {
                purchase_id: purchase.id,
                user_id: purchase.user_id,
                state: purchase.state,
                with_promocode: purchase.promocode.is_some(),
                charged: if paid { purchase.cost() } else { Amount::ZERO },
                settled_at: purchase.last_moved()?.1,
            })
        })
        .collect()
}

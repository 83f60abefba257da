//! Asks loyalty again about purchases that wait for its answer.
//!
//! A replica of loyalty that hangs holds up whatever the broker has given it, until the broker notices.
//! The same command under a new message id reaches another replica. Loyalty decides once a purchase and
//! answers a repeat as it answered before, so asking too often costs no more than the asking.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{db::Tx, ids::PurchaseId};

use super::{books::Books, settlement::Settlement};
use crate::store;

/// A purchase that has waited for long.
#[derive(Clone, Debug)]
pub struct AskAgain {
    /// Which.
    pub purchase_id: PurchaseId,
    /// The trace that it belongs to, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}

/// Sends the commands of those of `waiting` that are pending once more.
///
/// # Errors
/// When the database does not answer.
pub async fn ask_again(tx: &Tx, books: &Books, waiting: &[AskAgain]) -> Result<(), DbErr> {
    let ids = waiting.iter().map(|waiting| waiting.purchase_id);
    let purchases = store::purchase::find_pending(tx.conn(), ids).await?;
    let users: BTreeSet<_> = purchases.iter().map(|purchase| purchase.user_id).collect();
    let buyers = store::buyer::find_many(tx.conn(), users).await?;
    for AskAgain {
        purchase_id,
        traceparent,
    } in waiting
    {
        if let Some(traceparent) = traceparent {
            tx.belongs_to(purchase_id.0, traceparent.clone());
        }
    }
    let mut settlement = Settlement::open(tx, books, &BTreeSet::new()).await?;
    settlement.also_know(buyers);
    for purchase in &purchases {
        settlement.hold(purchase)?;
    }
    Ok(())
}

//! Tells purchases what happened to them: promocode held, refused, deadline passed, cancelled,
//! outcome asked for. Many at once, several for one purchase or one wallet included.

use std::collections::{BTreeSet, HashMap};

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{PurchaseId, UserId},
};

use super::{
    books::Books,
    settlement::{Settlement, say_outcome},
};
use crate::{
    domain::purchase::{ProtocolError, Purchase, PurchaseState, SagaMessage, step},
    store,
};

/// A purchase is told something.
#[derive(Clone, Debug)]
pub struct TellPurchase {
    /// Which purchase.
    pub purchase_id: PurchaseId,
    /// Whose it is, where the teller knows.
    pub user_id: Option<UserId>,
    /// What.
    pub message: SagaMessage,
}

/// Why purchases could not be told; then none of them was.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Nobody knows the purchase.
    #[error("there is no purchase {0}")]
    Unknown(PurchaseId),
    /// The purchase is somebody else's.
    #[error("the purchase {0} is of another user than the message says")]
    OtherUser(PurchaseId),
    /// What it was told can't be true.
    #[error("the purchase {purchase_id} can't take the message")]
    Protocol {
        /// Which purchase.
        purchase_id: PurchaseId,
        /// Why.
        source: ProtocolError,
    },
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Tells each of `told` in order, and writes what becomes of them. All or none.
///
/// # Errors
/// When one of them is unknown, somebody else's, or was told what can't be true.
pub async fn settle_purchases(tx: &Tx, books: &Books, told: &[TellPurchase]) -> Result<(), SettleError> {
    let ids: BTreeSet<_> = told.iter().map(|told| told.purchase_id).collect();
    let mut purchases = store::purchase::lock(tx.conn(), &ids).await?;
    // Whose purchases have ended need no wallet: a repeat costs two reads.
    let buyers: BTreeSet<_> = purchases
        .values()
        .filter(|purchase| purchase.state == PurchaseState::Pending)
        .map(|purchase| purchase.user_id)
        .collect();
    let mut again = Vec::new();
    if buyers.is_empty() {
        for told in told {
            let purchase = addressed(&purchases, told)?;
            if told.message == SagaMessage::ReportRequested {
                again.push(purchase.id);
            }
        }
    } else {
        let mut settlement = Settlement::open(tx, books, &buyers).await?;
        for told in told {
            let purchase = addressed(&purchases, told)?.clone();
            if purchase.state != PurchaseState::Pending {
                again.extend((told.message == SagaMessage::ReportRequested).then_some(purchase.id));
                continue;
            }
            let facts = settlement.facts(purchase.user_id)?;
            let decision =
                step(&purchase, &told.message, &facts).map_err(|source| SettleError::Protocol {
                    purchase_id: purchase.id,
                    source,
                })?;
            if let Some(change) = decision.next {
                let read_version = purchase.version;
                let settled = purchase.after(change);
                settlement.settle(read_version, settled.clone(), &decision.effects)?;
                purchases.insert(settled.id, settled);
            }
        }
        settlement.write().await?;
    }
    say_again(tx, books, &purchases, again).await?;
    Ok(())
}

fn addressed<'p>(
    purchases: &'p HashMap<PurchaseId, Purchase>,
    told: &TellPurchase,
) -> Result<&'p Purchase, SettleError> {
    let purchase = purchases
        .get(&told.purchase_id)
        .ok_or(SettleError::Unknown(told.purchase_id))?;
    if told.user_id.is_some_and(|user| user != purchase.user_id) {
        return Err(SettleError::OtherUser(purchase.id));
    }
    Ok(purchase)
}

async fn say_again(
    tx: &Tx,
    books: &Books,
    purchases: &HashMap<PurchaseId, Purchase>,
    again: Vec<PurchaseId>,
) -> Result<(), DbErr> {
    if again.is_empty() {
        return Ok(());
    }
    // After everything is written, so that what this batch has settled is found too.
    let given = store::subscription::of_purchases(tx.conn(), again.iter().copied()).await?;
    for purchase in again.iter().filter_map(|id| purchases.get(id)) {
        say_outcome(tx, books, purchase, given.get(&purchase.id))?;
    }
    Ok(())
}

//! Tells purchases what happened to them: promocode held, refused, deadline passed, cancelled,
//! outcome asked for, given back. Many at once, several for one purchase or one wallet included.

use std::collections::{BTreeSet, HashMap};

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{PurchaseId, UserId},
};

use super::{books::Books, read_purchase::PurchaseView, settlement::Settlement};
use crate::{
    domain::purchase::{ProtocolError, Purchase, SagaMessage, step},
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

/// Tells each of `told` in order, and writes what becomes of them. All or none. Gives those that
/// have ended by it.
///
/// Locks the purchases, then the wallets of their buyers, each in sorted order. That is one order
/// for everybody within a call, but not over several calls in one transaction: the inbox applies a
/// batch kind by kind (held, refused, reports), so there the purchases of the second kind are
/// locked after the wallets of the first. Against somebody who locks such a purchase and then the
/// same wallet (its buyer cancels it, its deadline passes) that can be a deadlock; and so can be the
/// wallets of two kinds against those that are bought with together (see `buy_tariff`). The database
/// then ends one of the two, and [`Db::write`](shared::db::Db::write) runs that one again.
///
/// # Errors
/// When one of them is unknown, somebody else's, or was told what can't be true.
pub async fn settle_purchases(
    tx: &Tx,
    books: &Books,
    told: &[TellPurchase],
) -> Result<Vec<PurchaseView>, SettleError> {
    let ids: BTreeSet<_> = told.iter().map(|told| told.purchase_id).collect();
    let mut purchases = store::purchase::lock(tx.conn(), &ids).await?;
    let buyers: BTreeSet<_> = purchases.values().map(|purchase| purchase.user_id).collect();
    let mut settlement = Settlement::open(tx, books, &buyers).await?;
    read_more(&mut settlement, &purchases, told).await?;
    for told in told {
        let purchase = addressed(&purchases, told)?.clone();
        let facts = settlement.facts(purchase.user_id);
        let step = step(&purchase, &told.message, &facts).map_err(|source| SettleError::Protocol {
            purchase_id: purchase.id,
            source,
        })?;
        let purchase = settlement.take(purchase, step)?;
        purchases.insert(purchase.id, purchase);
    }
    let ended = settlement.ended();
    settlement.write().await?;
    Ok(ended)
}

/// Reads what only few decisions depend on, where one of them is to be made.
async fn read_more(
    settlement: &mut Settlement<'_>,
    purchases: &HashMap<PurchaseId, Purchase>,
    told: &[TellPurchase],
) -> Result<(), DbErr> {
    let mut for_first_purchases = BTreeSet::new();
    for told in told {
        let Some(purchase) = purchases.get(&told.purchase_id) else {
            continue;
        };
        match &told.message {
            SagaMessage::Held {
                first_purchase_only: true,
                ..
            } => {
                for_first_purchases.insert(purchase.user_id);
            }
            SagaMessage::RefundRequested { .. } => settlement.read_given(purchase).await?,
            _ => {}
        }
    }
    settlement.look_for_purchases_of(for_first_purchases).await
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

//! Ends purchases that wait at their deadline.

use shared::db::{Db, Tx};

use super::{
    books::Books,
    settle_purchases::{SettleError, TellPurchase, settle_purchases},
};
use crate::{domain::purchase::SagaMessage, store};

/// Purchases in one transaction.
const BATCH: u64 = 100;

/// Ends every purchase that waits at its deadline and that nobody else has in hand.
///
/// # Errors
/// When the database refuses.
pub async fn fail_overdue_purchases(db: &Db, books: &Books) -> Result<(), SettleError> {
    // Looking costs no write transaction; most of the time there is nothing.
    while store::purchase::any_overdue(db.reader(), db.now()).await? {
        let failed = db.write(|tx| async move { fail_batch(&tx, books).await }).await?;
        if failed == 0 {
            break;
        }
    }
    Ok(())
}

async fn fail_batch(tx: &Tx, books: &Books) -> Result<usize, SettleError> {
    let ids = store::purchase::lock_overdue(tx.conn(), tx.now(), BATCH).await?;
    let told: Vec<_> = ids
        .into_iter()
        .map(|purchase_id| TellPurchase {
            purchase_id,
            user_id: None,
            message: SagaMessage::DeadlinePassed,
        })
        .collect();
    if !told.is_empty() {
        settle_purchases(tx, books, &told).await?;
    }
    Ok(told.len())
}

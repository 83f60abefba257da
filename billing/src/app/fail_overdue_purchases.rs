//! Ends purchases that wait at their deadline.

use shared::{
    clock::Instant,
    db::{Db, Tx, is_outage, lost_a_race},
    ids::PurchaseId,
    telemetry::metrics::{NO_LABELS, PURCHASES_OVERDUE},
};

use super::{
    books::Books,
    settle_purchases::{SettleError, TellPurchase, settle_purchases},
};
use crate::{domain::purchase::SagaMessage, store};

/// Purchases in one transaction.
const BATCH: u64 = 100;

/// Ends every purchase that waits at its deadline and that nobody else has in hand. One that can't
/// be ended is told to the log and keeps no other one from its end.
///
/// # Errors
/// When the database does not answer.
pub async fn fail_overdue_purchases(db: &Db, books: &Books) -> Result<(), SettleError> {
    let mut after = None;
    loop {
        // Looking costs no write transaction; most of the time there is nothing.
        let looked = store::purchase::overdue_after(db.reader(), db.now(), after, BATCH).await;
        if after.is_none() {
            show_overdue(looked.as_deref().ok(), db.now());
        }
        let waiting = looked?;
        let Some(last) = waiting.last().copied() else {
            return Ok(());
        };
        let ids: Vec<_> = waiting.into_iter().map(|(_, id)| id).collect();
        if let Err(error) = fail(db, books, &ids).await {
            if will_pass(&error) {
                return Err(error);
            }
            fail_one_by_one(db, books, &ids).await?;
        }
        after = Some(last);
    }
}

/// How far the oldest of the purchases that wait, if there is one, is past its deadline; NaN if
/// the database did not say which wait: what was true before must not silence the alert.
fn show_overdue(waiting: Option<&[(Instant, PurchaseId)]>, now: Instant) {
    let overdue = waiting.map_or(f64::NAN, |waiting| {
        let oldest = waiting.first().map(|(deadline, _)| (now - *deadline).to_std());
        oldest.and_then(Result::ok).unwrap_or_default().as_secs_f64()
    });
    PURCHASES_OVERDUE.gauge(&NO_LABELS).set(overdue);
}

async fn fail_one_by_one(db: &Db, books: &Books, ids: &[PurchaseId]) -> Result<(), SettleError> {
    for id in ids {
        match fail(db, books, &[*id]).await {
            Err(error) if will_pass(&error) => return Err(error),
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(purchase = %id, error, "a purchase can't be ended at its deadline");
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

fn will_pass(error: &SettleError) -> bool {
    is_outage(error) || lost_a_race(error)
}

async fn fail(db: &Db, books: &Books, ids: &[PurchaseId]) -> Result<(), SettleError> {
    db.write(|tx| async move { fail_batch(&tx, books, ids).await })
        .await
}

async fn fail_batch(tx: &Tx, books: &Books, ids: &[PurchaseId]) -> Result<(), SettleError> {
    let ids = store::purchase::lock_pending(tx.conn(), ids.iter().copied()).await?;
    let told: Vec<_> = ids
        .into_iter()
        .map(|purchase_id| TellPurchase {
            purchase_id,
            user_id: None,
            message: SagaMessage::DeadlinePassed,
        })
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    settle_purchases(tx, books, &told).await.map(drop)
}

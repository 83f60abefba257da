//! Asks billing what became of purchases whose holds are older than their deadline.

use sea_orm::DbErr;
use shared::{
    clock::Instant,
    contracts::ReportPurchaseV1,
    db::Tx,
    telemetry::metrics::{HOLD_REPORTS, NO_LABELS},
};

use crate::{domain::stale_hold::pause, store};

/// Holds asked about in one transaction.
pub(crate) const BATCH: usize = 100;

/// Whether there is anything to ask; changes nothing.
pub(crate) async fn any_stale_holds(
    conn: &impl sea_orm::ConnectionTrait,
    now: Instant,
) -> Result<bool, DbErr> {
    store::redemptions::any_stale(conn, now).await
}

/// Asks about at most [`BATCH`] of them, and returns about how many.
pub(crate) async fn report_stale_holds(tx: &Tx) -> Result<usize, DbErr> {
    let mut holds = store::redemptions::lock_stale(tx.conn(), tx.now(), BATCH as u64).await?;
    for hold in &mut holds {
        tx.emit(&ReportPurchaseV1 {
            purchase_id: hold.purchase_id,
        })?;
        hold.reports = hold.reports.saturating_add(1);
        hold.next_report_at = Some(tx.now() + pause(hold.reports));
    }
    let asked = holds.len();
    store::redemptions::update(tx.conn(), holds).await?;
    tx.after_commit(async move { HOLD_REPORTS.counter(&NO_LABELS).increment(asked as u64) });
    Ok(asked)
}

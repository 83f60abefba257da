//! Holds billing's own tables against each other.

use chrono::Duration;
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};
use shared::{
    clock::Instant,
    db::Db,
    reconcile::{Finding, Looked, Patience, look_and_show, run},
};

use crate::store::audit::{CHECKS, LATER_CHECKS, SLOW_CHECKS};

/// How long after its deadline a purchase may still be found pending: the watch comes by every
/// half second, and may have to wait for locks. A deadline is held against the present less this,
/// so that a platform at work shows no findings.
const MARGIN: Duration = Duration::seconds(15);

/// How long a payment provider may think about a top-up, or be gone, before somebody is told.
const PROVIDERS_TIME: Duration = Duration::days(1);

/// By how much the clock may be behind by which subscriptions have ended.
const BEHIND: Duration = Duration::minutes(10);

/// Everything that breaks a rule of billing's own tables, beside a running platform too. `now` is
/// the present.
///
/// # Errors
/// When the database does not answer.
pub async fn reconcile(
    conn: &(impl ConnectionTrait + TransactionTrait),
    now: Instant,
) -> Result<Vec<Finding>, DbErr> {
    let mut findings = run(conn, CHECKS, now - MARGIN).await?;
    findings.extend(run(conn, SLOW_CHECKS, now - PROVIDERS_TIME).await?);
    findings.extend(run(conn, LATER_CHECKS, now + BEHIND).await?);
    Ok(findings)
}

/// How long it may take to look; some checks add up everything that ever was.
pub const PATIENCE: Patience = Patience {
    each: std::time::Duration::from_secs(10 * 60),
    whole: std::time::Duration::from_secs(60 * 60),
};

/// The same, check by check, shown in the metrics and the log of this process. Changes nothing. `None`
/// where another replica is at it.
///
/// # Errors
/// When the database does not answer.
pub async fn show_reconciliation(db: &Db, patience: Patience) -> Result<Option<Vec<Looked>>, DbErr> {
    let now = db.now();
    let checks = [
        (CHECKS, now - MARGIN),
        (SLOW_CHECKS, now - PROVIDERS_TIME),
        (LATER_CHECKS, now + BEHIND),
    ];
    look_and_show(db, &checks, patience).await
}

//! Holds billing's own tables against each other.

use chrono::Duration;
use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    contracts::ServiceName,
    db::Db,
    reconcile::{Finding, run, show},
};

use crate::store::audit::{CHECKS, SLOW_CHECKS};

/// How long after its deadline a purchase may still be found pending: the watch comes by every
/// half second, and may have to wait for locks. A deadline is held against the present less this,
/// so that a platform at work shows no findings.
const MARGIN: Duration = Duration::seconds(15);

/// How long a payment provider may think about a top-up, or be gone, before somebody is told.
const PROVIDERS_TIME: Duration = Duration::days(1);

/// Everything that breaks a rule of billing's own tables, beside a running platform too. `now` is
/// the present.
///
/// # Errors
/// When the database does not answer.
pub async fn reconcile(conn: &impl ConnectionTrait, now: Instant) -> Result<Vec<Finding>, DbErr> {
    let mut findings = run(conn, CHECKS, now - MARGIN).await?;
    findings.extend(run(conn, SLOW_CHECKS, now - PROVIDERS_TIME).await?);
    Ok(findings)
}

/// The same, shown in the metrics and the log of this process. Changes nothing, so replicas may do
/// so side by side.
///
/// # Errors
/// When the database does not answer.
pub async fn show_reconciliation(db: &Db) -> Result<(), DbErr> {
    let now = db.now();
    let found = reconcile(db.reader(), now).await;
    let checks = CHECKS.iter().chain(SLOW_CHECKS);
    show(ServiceName::Billing, checks, found.as_deref().ok(), now);
    found.map(drop)
}

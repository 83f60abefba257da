//! Holds billing's own tables against each other.

use chrono::Duration;
use sea_orm::{ConnectionTrait, DbErr};
use shared::clock::Instant;
use uuid::Uuid;

use crate::store::audit::{CHECKS, run};

/// How long after its deadline a purchase may still be found pending: the watch comes by every
/// half second, and may have to wait for locks.
const MARGIN: Duration = Duration::seconds(15);

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: &'static str,
    /// By which row.
    pub id: Uuid,
    /// What was found.
    pub detail: String,
}

/// What reconciliation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that must not be.
    pub findings: Vec<Finding>,
    /// How many rules were checked.
    pub rules: usize,
}

impl Report {
    /// Whether every rule holds.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Checks every rule of billing's own tables, beside a running platform too. `now` is the present.
///
/// # Errors
/// When the database does not answer.
pub async fn reconcile(conn: &impl ConnectionTrait, now: Instant) -> Result<Report, DbErr> {
    let mut report = Report::default();
    for check in CHECKS {
        let found = run(conn, check, now - MARGIN).await?;
        report
            .findings
            .extend(found.into_iter().map(|(id, detail)| Finding {
                rule: check.rule,
                id,
                detail,
            }));
        report.rules += 1;
    }
    Ok(report)
}

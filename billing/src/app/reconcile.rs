//! Holds billing's own tables against each other.

use chrono::Duration;
use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    reconcile::{Finding, run},
};

use crate::store::audit::CHECKS;

/// How long after its deadline a purchase may still be found pending: the watch comes by every
/// half second, and may have to wait for locks.
const MARGIN: Duration = Duration::seconds(15);

/// Everything that breaks a rule of billing's own tables, beside a running platform too. `now` is
/// the present.
///
/// # Errors
/// When the database does not answer.
pub async fn reconcile(conn: &impl ConnectionTrait, now: Instant) -> Result<Vec<Finding>, DbErr> {
    run(conn, CHECKS, now - MARGIN).await
}

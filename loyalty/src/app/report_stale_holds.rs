//! Asks billing what became of purchases whose holds are older than their deadline.

use chrono::Duration;
use sea_orm::DbErr;
use shared::{clock::Instant, contracts::ReportPurchaseV1, db::Tx};

use crate::store;

/// Holds asked about in one transaction.
pub(crate) const BATCH: usize = 100;

/// How long after the deadline billing's own word may still be on its way.
const MARGIN: Duration = Duration::seconds(5);
/// No deadline is longer, whatever a command says.
const LONGEST_DEADLINE: Duration = Duration::hours(1);
const FIRST_PAUSE: Duration = Duration::seconds(10);
const LONGEST_PAUSE: Duration = Duration::minutes(10);

/// When billing is asked for the first time about a hold that is taken at `now`.
pub(crate) fn first_report_at(deadline: Instant, now: Instant) -> Instant {
    deadline.clamp(now, now + LONGEST_DEADLINE) + MARGIN
}

/// How long to wait for the answer when it was asked `reports` times: doubling, to a limit, and
/// without end, since only billing's word settles a hold.
fn pause(reports: i32) -> Duration {
    let doublings = reports.clamp(1, 10) - 1;
    (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
}

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
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = (1..9).map(|reports| pause(reports).num_seconds()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn billing_is_asked_a_little_after_the_deadline_but_never_in_the_past_or_much_later() {
        let now = DateTime::UNIX_EPOCH;
        let at = |deadline| first_report_at(deadline, now) - now;
        assert_eq!(at(now + Duration::seconds(30)), Duration::seconds(35));
        assert_eq!(at(now - Duration::days(1)), MARGIN);
        assert_eq!(at(DateTime::<chrono::Utc>::MAX_UTC), LONGEST_DEADLINE + MARGIN);
    }
}

//! Holds that are not settled in time: when billing is asked what became of their purchases.

use chrono::Duration;
use shared::clock::Instant;

/// How long after the deadline billing's own word may still be on its way.
const MARGIN: Duration = Duration::seconds(5);
/// No deadline is longer, whatever a command says.
const LONGEST_DEADLINE: Duration = Duration::hours(1);
const FIRST_PAUSE: Duration = Duration::seconds(10);
const LONGEST_PAUSE: Duration = Duration::minutes(10);

/// When billing is asked for the first time about a hold that is taken at `now`.
#[must_use]
pub fn first_report_at(deadline: Instant, now: Instant) -> Instant {
    deadline.clamp(now, now + LONGEST_DEADLINE) + MARGIN
}

/// When a hold that waits from `now` on is given up: a little after billing has, by billing's own two
/// instants, so that it does not matter how its clock stands to this one.
#[must_use]
pub fn gives_up_at(requested_at: Instant, deadline: Instant, now: Instant) -> Instant {
    let patience = (deadline - requested_at).clamp(Duration::zero(), LONGEST_DEADLINE);
    now + patience + MARGIN
}

/// How long to wait for the answer when it was asked `reports` times: doubling, to a limit, and
/// without end, since only billing's word settles a hold.
#[must_use]
pub fn pause(reports: i32) -> Duration {
    let doublings = reports.clamp(1, 10) - 1;
    (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
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
    fn a_waiting_hold_is_given_up_a_little_after_its_deadline_whatever_the_clocks_say() {
        let now = DateTime::UNIX_EPOCH;
        for ahead in [-90, 0, 90] {
            let requested_at = now + Duration::seconds(ahead);
            let at = |patience| gives_up_at(requested_at, requested_at + patience, now) - now;
            assert_eq!(at(Duration::seconds(30)), Duration::seconds(35));
            assert_eq!(at(Duration::days(1)), LONGEST_DEADLINE + MARGIN);
            assert_eq!(at(-Duration::days(1)), MARGIN);
        }
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

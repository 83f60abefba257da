//! Who has to wait, and for how long.

use chrono::Duration;
use shared::clock::Instant;

/// For how long something is counted from its first time on.
pub const WINDOW: Duration = Duration::minutes(15);

/// How often something was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Since when.
    pub began_at: Instant,
    /// How often since then.
    pub count: i64,
}

impl Count {
    /// For how many whole seconds nobody may try again, if `count` is more than may be. Zero times
    /// are never too many.
    #[must_use]
    pub fn wait(self, most: u32, now: Instant) -> Option<u32> {
        let left = self.began_at + WINDOW - now;
        if self.count <= i64::from(most) || left <= Duration::zero() {
            return None;
        }
        let seconds = (left + Duration::milliseconds(999)).num_seconds();
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The same for one more try.
    #[must_use]
    pub fn wait_for_next(self, most: u32, now: Instant) -> Option<u32> {
        let next = Self {
            count: self.count.saturating_add(1),
            ..self
        };
        next.wait(most, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began_at() -> Instant {
        Instant::from_timestamp_micros(1_763_692_800_000_000).unwrap()
    }

    #[test]
    fn so_many_may_be_and_one_more_waits_until_the_window_is_over() {
        let count = |count| Count {
            began_at: began_at(),
            count,
        };
        let later = |seconds| began_at() + Duration::seconds(seconds);
        assert_eq!(count(10).wait(10, later(1)), None);
        assert_eq!(count(11).wait(10, later(1)), Some(899));
        assert_eq!(count(11).wait(10, later(900)), None, "the window is over");
        assert_eq!(count(9).wait_for_next(10, later(1)), None);
        assert_eq!(count(10).wait_for_next(10, later(1)), Some(899));
        let almost = later(900) - Duration::milliseconds(1);
        assert_eq!(count(11).wait(10, almost), Some(1), "never zero seconds");
    }
}

//! How long the next attempt has to wait.

use chrono::Duration;

use crate::clock::Instant;

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
    /// For how many whole seconds the next try has to wait, if `count` is more than `most`. Zero times
    /// are never too many.
    #[must_use]
    pub fn wait(self, most: u32, now: Instant) -> Option<u32> {
        let over = self.count > i64::from(most);
        over.then(|| self.seconds_until(WINDOW, now)).flatten()
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

    /// For how many whole seconds the next try has to wait where so many are `free` and each one
    /// behind them doubles the wait: one second after the first free ones are used up, counted from
    /// the first try on, then two, four, up to the whole window.
    #[must_use]
    pub fn slowed(self, free: u32, now: Instant) -> Option<u32> {
        let behind = u32::try_from(self.count - i64::from(free)).ok()?;
        let grown = 1_i64.checked_shl(behind.min(32)).unwrap_or(i64::MAX);
        let pause = Duration::try_seconds(grown).map_or(WINDOW, |pause| pause.min(WINDOW));
        self.seconds_until(pause, now)
    }

    /// Whole seconds until the count is this old; never zero.
    fn seconds_until(self, age: Duration, now: Instant) -> Option<u32> {
        let left = self.began_at + age - now;
        if left <= Duration::zero() {
            return None;
        }
        let seconds = (left + Duration::milliseconds(999)).num_seconds();
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began_at() -> Instant {
        Instant::from_timestamp_micros(1_763_692_800_000_000).unwrap()
    }

    fn count(count: i64) -> Count {
        Count {
            began_at: began_at(),
            count,
        }
    }

    fn later(seconds: i64) -> Instant {
        began_at() + Duration::seconds(seconds)
    }

    #[test]
    fn so_many_may_be_and_one_more_waits_until_the_window_is_over() {
        assert_eq!(count(10).wait(10, later(1)), None);
        assert_eq!(count(11).wait(10, later(1)), Some(899));
        assert_eq!(count(11).wait(10, later(900)), None, "the window is over");
        assert_eq!(count(9).wait_for_next(10, later(1)), None);
        assert_eq!(count(10).wait_for_next(10, later(1)), Some(899));
        let almost = later(900) - Duration::milliseconds(1);
        assert_eq!(count(11).wait(10, almost), Some(1), "never zero seconds");
    }

    #[test]
    fn behind_the_free_ones_each_doubles_the_wait() {
        let slowed = |tried, seconds| count(tried).slowed(5, later(seconds));
        assert_eq!(slowed(4, 0), None, "one is free still");
        assert_eq!(slowed(5, 0), Some(1));
        assert_eq!(slowed(5, 1), None);
        assert_eq!(slowed(6, 1), Some(1));
        assert_eq!(slowed(9, 1), Some(15));
        assert_eq!(slowed(100, 1), Some(899), "no longer than the window");
        assert_eq!(slowed(i64::MAX, 900), None);
    }

    #[test]
    fn a_loop_fails_no_more_often_than_the_free_ones_and_ten_more_in_a_window() {
        let mut tried = 1;
        for second in 0..900 {
            while count(tried).slowed(5, later(second)).is_none() {
                tried += 1;
            }
        }
        assert_eq!(tried, 15);
    }
}

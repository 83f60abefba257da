//! The one place that asks the machine what time it is. What services do is timed by their database's
//! clock instead: [`Db::now`](crate::db::Db::now).

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, SubsecRound, Utc};

/// An instant in UTC, to the microsecond (what both databases keep).
pub type Instant = DateTime<Utc>;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present instant, cut to microseconds.
    fn now(&self) -> Instant;

    /// Whether it is the machine's clock, which may differ from those of other machines, so that where a
    /// database has a clock that one is taken.
    fn is_machine(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the substitute itself
    fn now(&self) -> Instant {
        Utc::now().trunc_subsecs(6)
    }

    fn is_machine(&self) -> bool {
        true
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Instant>>);

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: Instant) -> Self {
        Self(Arc::new(Mutex::new(start.trunc_subsecs(6))))
    }

    /// Moves the clock by `by`.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! While Redis is away: leave it alone for a while, try again with one call, and say so once.

use std::{
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The state of the trouble.
pub(super) struct Outage {
    rest: Duration,
    state: Mutex<Option<State>>,
}

struct State {
    since: Instant,
    /// Before that nobody tries.
    next_try: Instant,
}

impl Outage {
    /// No trouble yet; after a failure there is a `rest`.
    pub(super) fn none(rest: Duration) -> Self {
        Self {
            rest,
            state: Mutex::default(),
        }
    }

    /// Whether Redis may be asked. During an outage one call may, from time to time.
    pub(super) fn may_try(&self) -> bool {
        let mut state = self.state();
        let Some(state) = state.as_mut() else { return true };
        let now = Instant::now();
        let may = now >= state.next_try;
        if may {
            state.next_try = now + self.rest;
        }
        may
    }

    /// A call failed; logged only the first time.
    pub(super) fn note(&self, why: &dyn Display) {
        let now = Instant::now();
        let next_try = now + self.rest;
        let mut state = self.state();
        match state.as_mut() {
            Some(state) => state.next_try = next_try,
            None => {
                *state = Some(State { since: now, next_try });
                tracing::warn!(error = %why, "lost the cache; doing without it");
            }
        }
    }

    /// A call succeeded.
    pub(super) fn end(&self) {
        if let Some(state) = self.state().take() {
            let seconds = state.since.elapsed().as_secs_f64();
            tracing::info!(seconds, "the cache is back");
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_nobody_tries_and_then_one_does() {
        let outage = Outage::none(Duration::from_secs(3_600));
        assert!(outage.may_try() && outage.may_try());
        outage.note(&"gone");
        assert!(!outage.may_try());

        let outage = Outage::none(Duration::ZERO);
        outage.note(&"gone");
        assert!(outage.may_try());
        outage.end();
        assert!(outage.state().is_none());
    }

    #[test]
    fn while_one_tries_the_others_do_not() {
        let outage = Outage::none(Duration::from_secs(3_600));
        let now = Instant::now();
        *outage.state() = Some(State {
            since: now,
            next_try: now,
        });
        assert!(outage.may_try(), "it is time");
        assert!(!outage.may_try(), "somebody tries already");
    }
}

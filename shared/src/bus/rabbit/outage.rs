//! While the broker is away: try again, ever more slowly, and say so once.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The state of one subscription's trouble.
pub(super) struct Outage {
    what: String,
    since: Option<Instant>,
    tries: u32,
}

impl Outage {
    /// No trouble yet for `what`.
    pub(super) fn none(what: String) -> Self {
        Self {
            what,
            since: None,
            tries: 0,
        }
    }

    /// It was lost, or an attempt failed; logged only the first time.
    pub(super) fn note(&mut self, why: &dyn Display) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!(subscription = %self.what, error = %why, "lost the message broker; trying again");
        }
    }

    /// Waits before the next attempt: exponentially, with jitter, so that replicas spread out.
    pub(super) async fn pause(&mut self) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.tries.min(10))
            .min(LONGEST_PAUSE);
        self.tries = self.tries.saturating_add(1);
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
    }

    /// It stands again.
    pub(super) fn end(&mut self) {
        self.tries = 0;
        if let Some(since) = self.since.take() {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(subscription = %self.what, seconds, "the message broker is back");
        }
    }
}

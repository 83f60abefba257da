//! What the inbox counts; looked up once.

use std::time::Duration;

use metrics::{Counter, Histogram};

use super::Status;
use crate::{
    contracts::ServiceName,
    telemetry::metrics::{INBOX_BATCH, INBOX_BATCH_DURATION, INBOX_MESSAGES},
};

/// For one service. Everything is counted after its commit.
pub(super) struct Counts {
    applied: Counter,
    repeated: Counter,
    failed: Counter,
    parked: Counter,
    batch: Histogram,
    took: Histogram,
}

impl Counts {
    pub(super) fn of(service: ServiceName) -> Self {
        let service = service.as_str();
        let messages = |outcome| INBOX_MESSAGES.counter(&[("service", service), ("outcome", outcome)]);
        Self {
            applied: messages("applied"),
            repeated: messages("repeated"),
            failed: messages("failed"),
            parked: messages("parked"),
            batch: INBOX_BATCH.histogram(&[("service", service)]),
            took: INBOX_BATCH_DURATION.histogram(&[("service", service)]),
        }
    }

    /// A batch of `all` messages was applied, of which `fresh` were not known already.
    pub(super) fn applied(&self, all: usize, fresh: usize, took: Duration) {
        self.applied.increment(fresh as u64);
        self.repeated.increment(all.saturating_sub(fresh) as u64);
        self.batch.record(u32::try_from(all).map_or(f64::MAX, f64::from));
        self.took.record(took);
    }

    /// A message that had failed before was applied.
    pub(super) fn applied_at_last(&self) {
        self.applied.increment(1);
    }

    /// A message failed, and is kept with this status.
    pub(super) fn kept(&self, status: Status) {
        match status {
            Status::Parked => self.parked.increment(1),
            Status::Retry => self.failed.increment(1),
            Status::Done | Status::Dropped => {}
        }
    }
}

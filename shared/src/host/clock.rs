//! Watches how far this machine's clock is from the database's.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;

use super::{Job, JobError};
use crate::{db::Db, telemetry::metrics::CLOCK_OFFSET};

/// From here on it is said in the log, in seconds. Clocks that are kept by NTP differ by milliseconds.
const WORTH_SAYING: f64 = 1.0;
/// From here on the process is degraded, in seconds.
const DEGRADED: f64 = 10.0;

/// Whether the clocks differ so much that an operator should look after it. What is due, leased or overdue
/// is judged by the database's clock all the same; the log, TLS certificates and reports of errors are not.
pub(super) fn is_degraded(db: &Db) -> bool {
    db.clock_offset().abs() > DEGRADED
}

/// The periodic job that measures the distance.
pub(super) struct WatchClock {
    db: Db,
    is_off: AtomicBool,
}

impl WatchClock {
    pub(super) fn new(db: Db) -> Self {
        Self {
            db,
            is_off: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Job for WatchClock {
    fn name(&self) -> &'static str {
        "watch_clock"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run(&self) -> Result<(), JobError> {
        let service = self.db.service();
        let seconds = self.db.measure_clock().await?;
        CLOCK_OFFSET.gauge(&[("service", service.as_str())]).set(seconds);
        let is_off = seconds.abs() > WORTH_SAYING;
        match (self.is_off.swap(is_off, Ordering::Relaxed), is_off) {
            (false, true) => tracing::warn!(
                %service,
                seconds,
                "this machine's clock is ahead of the database's by so much (behind, if below zero); \
                 the database's is the one that counts"
            ),
            (true, false) => {
                tracing::info!(%service, "this machine's clock agrees with the database's again")
            }
            _ => {}
        }
        Ok(())
    }
}

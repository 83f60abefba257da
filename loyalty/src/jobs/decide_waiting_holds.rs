//! Decides holds that wait, as soon as the uses that they wait for come back or are confirmed.

use std::time::Duration;

use async_trait::async_trait;
use iso_currency::Currency;
use shared::{
    db::Db,
    host::{Job, JobError},
    telemetry::metrics::{NO_LABELS, WAITING_HOLDS},
};

use crate::app::decide_waiting_holds::{WaitingHolds, decide_waiting_holds, look_at_waiting_holds};

/// How long what another replica has settled waits for a look.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long to leave a database alone that refused.
const AFTER_AN_ERROR: Duration = Duration::from_secs(1);

/// The job. A run waits until there may be something to decide.
pub(crate) struct DecideWaitingHolds {
    pub db: Db,
    /// The platform's currency.
    pub currency: Currency,
    /// What wakes it.
    pub waiting: WaitingHolds,
}

impl DecideWaitingHolds {
    async fn decide(&self) -> Result<(), JobError> {
        let (db, currency) = (&self.db, self.currency);
        let look = look_at_waiting_holds(db.reader(), db.now()).await?;
        self.waiting.saw(look.waiting > 0);
        let waiting = u32::try_from(look.waiting).map_or(f64::MAX, f64::from);
        WAITING_HOLDS.gauge(&NO_LABELS).set(waiting);
        for campaign in look.ripe {
            db.write(|tx| async move { decide_waiting_holds(&tx, campaign, currency).await })
                .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Job for DecideWaitingHolds {
    fn name(&self) -> &'static str {
        "decide_waiting_holds"
    }

    // A run does the waiting.
    fn every(&self) -> Duration {
        Duration::from_millis(1)
    }

    async fn run(&self) -> Result<(), JobError> {
        self.waiting.changed(LOOK_EVERY).await;
        let decided = self.decide().await;
        if decided.is_err() {
            tokio::time::sleep(AFTER_AN_ERROR).await;
        }
        decided
    }
}

//! Asks billing, again and again, about holds that are not settled in time.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::report_stale_holds::{BATCH, any_stale_holds, report_stale_holds};

/// The periodic job. Loyalty never frees a hold by itself: the answer settles it.
pub(crate) struct ReportStaleHolds(pub Db);

#[async_trait]
impl Job for ReportStaleHolds {
    fn name(&self) -> &'static str {
        "report_stale_holds"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self) -> Result<(), JobError> {
        // Most of the time there are none, and looking costs no write transaction.
        while any_stale_holds(self.0.reader(), self.0.now()).await? {
            let asked = self
                .0
                .write(|tx| async move { report_stale_holds(&tx).await })
                .await?;
            if asked < BATCH {
                break;
            }
        }
        Ok(())
    }
}

//! Holds billing's tables against each other.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::reconcile::{PATIENCE, show_reconciliation};

/// Shows what is wrong with the books.
pub struct Reconcile {
    /// The database.
    pub db: Db,
    /// How often.
    pub every: Duration,
}

#[async_trait]
impl Job for Reconcile {
    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn may_take(&self) -> Duration {
        PATIENCE.whole + Duration::from_secs(60)
    }

    async fn run(&self) -> Result<(), JobError> {
        let looked = show_reconciliation(&self.db, PATIENCE).await?;
        for looked in looked.into_iter().flatten() {
            looked.found?;
        }
        Ok(())
    }
}

//! Looks for subscriptions that end.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::remind_of_endings::remind_of_endings;

/// Announces subscriptions that end soon.
pub struct RemindOfEndings {
    /// The database.
    pub db: Db,
    /// How long before the end.
    pub notice: chrono::Duration,
}

#[async_trait]
impl Job for RemindOfEndings {
    fn name(&self) -> &'static str {
        "remind_of_endings"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<(), JobError> {
        Ok(remind_of_endings(&self.db, self.notice).await?)
    }
}

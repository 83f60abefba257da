//! Forgets what is over.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app;

/// Forgets what is over; replicas may do so side by side.
pub(crate) struct ForgetOld(pub(crate) Db);

#[async_trait]
impl Job for ForgetOld {
    fn name(&self) -> &'static str {
        "forget_old"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(600)
    }

    async fn run(&self) -> Result<(), JobError> {
        Ok(app::forget_old(&self.0).await?)
    }
}

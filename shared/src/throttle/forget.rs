//! Forgets counts that are over.

use std::time::Duration;

use async_trait::async_trait;

use super::{WINDOW, forget_before};
use crate::{
    db::Db,
    host::{Job, JobError},
};

/// Removes counts that count no more; replicas may do so side by side.
pub struct ForgetThrottles(pub Db);

#[async_trait]
impl Job for ForgetThrottles {
    fn name(&self) -> &'static str {
        "forget_throttles"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(600)
    }

    async fn run(&self) -> Result<(), JobError> {
        Ok(forget_before(self.0.writer(), self.0.now() - WINDOW).await?)
    }
}

//! Holds billing's tables against each other.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::reconcile::show_reconciliation;

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

    async fn run(&self) -> Result<(), JobError> {
        Ok(show_reconciliation(&self.db).await?)
    }
}

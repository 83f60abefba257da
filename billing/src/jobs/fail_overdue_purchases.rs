//! Watches the deadlines of purchases.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::{books::Books, fail_overdue_purchases::fail_overdue_purchases};

/// Ends purchases that wait at their deadline.
pub struct FailOverduePurchases {
    /// The database.
    pub db: Db,
    /// The ledger.
    pub books: Books,
}

#[async_trait]
impl Job for FailOverduePurchases {
    fn name(&self) -> &'static str {
        "fail_overdue_purchases"
    }

    fn every(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn run(&self) -> Result<(), JobError> {
        Ok(fail_overdue_purchases(&self.db, &self.books).await?)
    }
}

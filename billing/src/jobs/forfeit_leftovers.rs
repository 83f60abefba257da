//! Looks for what deleted users have left.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::{books::Books, forfeit_wallets::forfeit_leftovers};

/// Empties wallets of deleted users.
pub struct ForfeitLeftovers {
    /// The database.
    pub db: Db,
    /// The ledger.
    pub books: Books,
}

#[async_trait]
impl Job for ForfeitLeftovers {
    fn name(&self) -> &'static str {
        "forfeit_leftovers"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    async fn run(&self) -> Result<(), JobError> {
        Ok(forfeit_leftovers(&self.db, &self.books).await?)
    }
}

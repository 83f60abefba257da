//! Looks after top-ups that were left undecided.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::{
    app::{books::Books, finish_top_ups::finish_top_ups},
    providers::PaymentProvider,
};

/// Carries on with top-ups that were left undecided.
pub struct FinishTopUps {
    /// The database.
    pub db: Db,
    /// The ledger.
    pub books: Books,
    /// Where the money comes from.
    pub provider: Arc<dyn PaymentProvider>,
}

#[async_trait]
impl Job for FinishTopUps {
    fn name(&self) -> &'static str {
        "finish_top_ups"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run(&self) -> Result<(), JobError> {
        Ok(finish_top_ups(&self.db, &self.books, self.provider.as_ref()).await?)
    }
}

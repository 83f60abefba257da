//! Goes on to tell the users of large groups what was granted to them.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::tell_of_grants::{anybody_to_tell, tell_of_grants};

/// Transactions of one run, which are over well before a job may take no longer.
const AT_ONCE: usize = 20;

/// The periodic job.
pub(crate) struct TellOfGrants(pub Db);

#[async_trait]
impl Job for TellOfGrants {
    fn name(&self) -> &'static str {
        "tell_of_grants"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self) -> Result<(), JobError> {
        // Most of the time there is nobody, and looking costs no write transaction.
        for _ in 0..AT_ONCE {
            if !anybody_to_tell(self.0.reader()).await? {
                break;
            }
            let told = self
                .0
                .write(|tx| async move { tell_of_grants(&tx).await })
                .await?;
            if !told {
                break;
            }
        }
        Ok(())
    }
}

//! Ends what sessions are left of users who have lost what their role allowed.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
    sessions::EndedSessions,
};

use crate::app::{any_withdrawal_left, continue_withdrawal};

/// Transactions of one run, which are over well before a job may take no longer.
const AT_ONCE: usize = 20;

/// Replicas do so side by side.
pub(crate) struct EndWithdrawn {
    pub(crate) db: Db,
    pub(crate) sessions: EndedSessions,
}

#[async_trait]
impl Job for EndWithdrawn {
    fn name(&self) -> &'static str {
        "end_withdrawn"
    }

    fn every(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn run(&self) -> Result<(), JobError> {
        let ended = &self.sessions;
        // Most of the time there is nothing, and looking costs no write transaction.
        for _ in 0..AT_ONCE {
            if !any_withdrawal_left(self.db.reader()).await? {
                break;
            }
            let found = self
                .db
                .write(|tx| async move { continue_withdrawal(&tx, ended).await })
                .await?;
            if !found {
                break;
            }
        }
        Ok(())
    }
}

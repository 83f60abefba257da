//! Tries again what failed alone, and parks what keeps failing.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Duration;
use rand::RngExt as _;
use sea_orm::DbErr;

use super::{
    handlers::{HandleError, Handlers},
    receiver::{describe, log_applied},
    store,
};
use crate::{
    contracts::Envelope,
    db::{self, Db, Tx},
    host::{Job, JobError},
    ids::MessageId,
};

/// Failures after which a message is parked: with the pauses below, about twenty minutes.
const ATTEMPTS: i32 = 12;
const FIRST_PAUSE_MS: i64 = 500;
const LONGEST_PAUSE_MS: i64 = 300_000;

/// How long a message that has failed `attempts` times waits: doubling, with jitter, so that
/// what failed together does not come back together.
pub(super) fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    let longest = (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS);
    Duration::milliseconds(rand::rng().random_range(longest / 2..=longest))
}

/// The periodic job that tries again what is due.
pub struct RetryInbox {
    db: Db,
    handlers: Arc<Handlers>,
}

/// Carries the outcome of a failed try out of the transaction that is rolled back.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("the database refused")]
    Store(#[from] DbErr),
    #[error("message {id} failed")]
    Message {
        id: MessageId,
        attempts: i32,
        source: HandleError,
    },
}

impl RetryInbox {
    /// For the inbox in `db`, with the service's handlers.
    #[must_use]
    pub fn new(db: Db, handlers: Arc<Handlers>) -> Self {
        Self { db, handlers }
    }

    /// Tries one message; false when none is due.
    async fn try_next(&self) -> Result<bool, DbErr> {
        match self.db.write(|tx| async move { self.attempt(&tx).await }).await {
            Ok(any) => Ok(any),
            Err(TryError::Store(error)) => Err(error),
            Err(TryError::Message {
                source: HandleError::Store(error),
                ..
            }) if db::is_outage(&error) => Err(error),
            Err(TryError::Message { id, attempts, source }) => {
                self.record(id, attempts + 1, &source).await?;
                Ok(true)
            }
        }
    }

    async fn attempt(&self, tx: &Tx) -> Result<bool, TryError> {
        let Some(row) = store::lock_due(tx.conn(), tx.now()).await? else {
            return Ok(false);
        };
        let failed = |source| TryError::Message {
            id: row.id,
            attempts: row.attempts,
            source,
        };
        let envelope: Envelope = serde_json::from_str(row.body.as_deref().unwrap_or_default())
            .map_err(|error| failed(HandleError::Unreadable(error.to_string())))?;
        self.handlers.apply(tx, &[&envelope]).await.map_err(failed)?;
        store::mark_done(tx.conn(), row.id).await?;
        log_applied(self.db.service(), &envelope);
        Ok(true)
    }

    async fn record(&self, id: MessageId, attempts: i32, error: &HandleError) -> Result<(), DbErr> {
        let error = &describe(error);
        let give_up = attempts >= ATTEMPTS;
        if give_up {
            tracing::error!(service = %self.db.service(), %id, error, "a message is parked");
        }
        self.db
            .write(|tx| async move {
                let next = (!give_up).then(|| tx.now() + pause(attempts));
                store::mark_failed(tx.conn(), id, attempts, next, error.clone()).await
            })
            .await
    }
}

#[async_trait]
impl Job for RetryInbox {
    fn name(&self) -> &'static str {
        "retry_inbox"
    }

    fn every(&self) -> std::time::Duration {
        std::time::Duration::from_millis(500)
    }

    async fn run(&self) -> Result<(), JobError> {
        while store::any_due(self.db.reader(), self.db.now()).await? && self.try_next().await? {}
        Ok(())
    }
}

/// The periodic job that forgets what was applied long ago.
pub(crate) struct ForgetInbox(pub Db);

#[async_trait]
impl Job for ForgetInbox {
    fn name(&self) -> &'static str {
        "forget_inbox"
    }

    fn every(&self) -> std::time::Duration {
        std::time::Duration::from_secs(3_600)
    }

    async fn run(&self) -> Result<(), JobError> {
        self.0
            .write(|tx| async move { store::forget(tx.conn(), tx.now()).await })
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for attempts in 1..200 {
            let pause = pause(attempts).num_milliseconds();
            assert!(
                (FIRST_PAUSE_MS / 2..=LONGEST_PAUSE_MS).contains(&pause),
                "{attempts}: {pause}"
            );
        }
        assert!(pause(10) > pause(1));
    }
}

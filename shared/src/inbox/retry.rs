//! Tries again what failed alone, and parks what keeps failing.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::Duration;
use rand::RngExt as _;
use sea_orm::DbErr;

use super::{
    Status,
    counts::Counts,
    handlers::{HandleError, Handlers},
    receiver::log_applied,
    store::{self, entity},
};
use crate::{
    clock::Instant,
    contracts::Envelope,
    db::{self, Db, Tx},
    host::{Job, JobError},
    ids::MessageId,
    telemetry::{describe, trace},
};

/// Failures after which a message is parked: with the pauses below, about twenty minutes.
const ATTEMPTS: i32 = 12;
const FIRST_PAUSE_MS: i64 = 500;
const LONGEST_PAUSE_MS: i64 = 300_000;
/// Messages tried in one run, so that a run ends soon after its service is told to stop. What is
/// left comes in the next one.
const A_RUN: usize = 100;

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
    counts: Counts,
}

/// What came of a try that did not fail.
enum Tried {
    /// No message is due.
    Nothing,
    Applied(Box<Envelope>),
    /// It had been applied already.
    Known,
}

/// The message that a try has taken up; outlives the transaction, whatever becomes of it.
#[derive(Default)]
struct InHand(Mutex<Option<Taken>>);

#[derive(Clone)]
struct Taken {
    id: MessageId,
    attempts: i32,
    traceparent: Option<String>,
}

impl InHand {
    fn set(&self, taken: Option<Taken>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = taken;
    }

    fn take(self) -> Option<Taken> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RetryInbox {
    /// For the inbox in `db`, with the service's handlers.
    #[must_use]
    pub fn new(db: Db, handlers: Arc<Handlers>) -> Self {
        Self {
            counts: Counts::of(db.service()),
            db,
            handlers,
        }
    }

    /// Tries one message; false when none is due.
    async fn try_next(&self) -> Result<bool, HandleError> {
        let in_hand = InHand::default();
        let outcome = {
            let in_hand = &in_hand;
            self.db
                .write(|tx| async move { self.attempt(&tx, in_hand).await })
                .await
        };
        let error = match outcome {
            Ok(Tried::Nothing) => return Ok(false),
            Ok(Tried::Known) => return Ok(true),
            Ok(Tried::Applied(envelope)) => {
                log_applied(self.db.service(), &envelope);
                self.counts.applied_at_last();
                return Ok(true);
            }
            Err(error) => error,
        };
        match in_hand.take() {
            // What looks like an outage while the database answers counts as a failure too: the
            // pause that follows gives the other messages their turn.
            Some(taken) if !db::is_outage(&error) || self.db.ping().await.is_ok() => {
                self.record(&taken, &error).await?;
                Ok(true)
            }
            _ => Err(error),
        }
    }

    async fn attempt(&self, tx: &Tx, in_hand: &InHand) -> Result<Tried, HandleError> {
        // Not what an earlier run, which lost a race, had taken up.
        in_hand.set(None);
        let Some(row) = store::lock_due(tx.conn(), tx.now()).await? else {
            return Ok(Tried::Nothing);
        };
        let envelope = serde_json::from_str::<Envelope>(row.body.as_deref().unwrap_or_default());
        in_hand.set(Some(Taken {
            id: row.id,
            attempts: row.attempts,
            traceparent: envelope
                .as_ref()
                .ok()
                .and_then(|envelope| envelope.traceparent.clone()),
        }));
        let envelope = envelope.map_err(|error| HandleError::Unreadable(error.to_string()))?;
        let known = known_otherwise(tx, &row, &envelope).await?;
        if !known {
            self.handlers.apply(tx, &[&envelope]).await?;
        }
        store::mark_done(tx.conn(), row.id, tx.now()).await?;
        Ok(if known {
            Tried::Known
        } else {
            Tried::Applied(Box::new(envelope))
        })
    }

    async fn record(&self, taken: &Taken, error: &HandleError) -> Result<(), DbErr> {
        let attempts = taken.attempts + 1;
        // What can't be read is tried only because an administrator said so, and once.
        let may_pass = attempts < ATTEMPTS && !matches!(error, HandleError::Unreadable(_));
        let error = &describe(error);
        let next = may_pass.then(|| self.db.now() + pause(attempts));
        let recorded = self
            .db
            .write(|tx| async move { store::mark_failed(tx.conn(), taken.id, attempts, next, error).await })
            .await?;
        if !recorded {
            // Whoever was quicker has told.
            return Ok(());
        }
        self.counts.kept(if next.is_none() {
            Status::Parked
        } else {
            Status::Retry
        });
        if next.is_none() {
            let trace_id = taken.traceparent.as_deref().and_then(trace::trace_id);
            tracing::error!(service = %self.db.service(), trace_id, id = %taken.id, error, "a message is parked");
        }
        Ok(())
    }
}

/// Whether the message has been applied under its own id. What could not be read when it came is
/// kept under an id made of its bytes; once a newer program can read it, the two must not both count.
async fn known_otherwise(tx: &Tx, row: &entity::Model, envelope: &Envelope) -> Result<bool, DbErr> {
    if row.id == envelope.id {
        return Ok(false);
    }
    Ok(store::claim(tx.conn(), &[envelope.id], tx.now())
        .await?
        .is_empty())
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
        for _ in 0..A_RUN {
            // Looking costs no write transaction; most of the time there is nothing.
            if !store::any_due(self.db.reader(), self.db.now()).await? || !self.try_next().await? {
                break;
            }
        }
        Ok(())
    }
}

/// How long after the start nothing is forgotten; see [`ForgetInbox`].
const SETTLING_IN: Duration = Duration::hours(1);

/// The periodic job that forgets what was applied long ago.
///
/// Not in the first hour: a platform that was off for longer than the inbox remembers still has
/// in its outboxes what it had said, and perhaps applied, just before. These repeats come at the
/// start, and must still be known then.
pub struct ForgetInbox {
    db: Db,
    started_at: Instant,
}

impl ForgetInbox {
    /// For the inbox in `db`, as of a service that starts now.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self {
            started_at: db.now(),
            db,
        }
    }
}

#[async_trait]
impl Job for ForgetInbox {
    fn name(&self) -> &'static str {
        "forget_inbox"
    }

    fn every(&self) -> std::time::Duration {
        std::time::Duration::from_secs(3_600)
    }

    async fn run(&self) -> Result<(), JobError> {
        if self.db.now() < self.started_at + SETTLING_IN {
            return Ok(());
        }
        self.db
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

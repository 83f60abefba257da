//! One transaction: what it writes and what it says become true together.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use futures::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr};
use uuid::Uuid;

use crate::{
    clock::Instant,
    contracts::{Envelope, Message, ServiceName},
    ids::MessageId,
    outbox,
    telemetry::trace,
};

/// A transaction that can emit messages. Made by [`Db::write`](super::Db::write).
pub struct Tx {
    transaction: DatabaseTransaction,
    service: ServiceName,
    now: Instant,
    emitted: Mutex<Vec<Envelope>>,
    afterwards: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// Which trace each aggregate of a batch belongs to, so that what follows from a message
    /// carries on its trace and not that of its neighbours.
    traces: Mutex<HashMap<Uuid, String>>,
    /// The trace of the one message that this transaction applies, if it is one.
    only_trace: Mutex<Option<String>>,
}

/// What a transaction leaves to its process.
pub(super) struct Committed {
    pub(super) emitted: Vec<Envelope>,
    pub(super) afterwards: Vec<BoxFuture<'static, ()>>,
}

impl Tx {
    pub(super) fn new(transaction: DatabaseTransaction, service: ServiceName, now: Instant) -> Self {
        Self {
            transaction,
            service,
            now,
            emitted: Mutex::default(),
            afterwards: Mutex::default(),
            traces: Mutex::default(),
            only_trace: Mutex::default(),
        }
    }

    /// Where the store's queries run.
    #[must_use]
    pub fn conn(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// When this transaction began; the one instant for all that it writes.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Says `message`, if and only if this transaction commits. It carries on the trace of the
    /// message that came in about the same subject, else of the only message that is applied
    /// here, else of the request.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn emit<M: Message>(&self, message: &M) -> Result<MessageId, DbErr> {
        let id = MessageId::new(self.now);
        let cause = self
            .traces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&message.subject())
            .cloned();
        let only = || {
            self.only_trace
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        let traceparent = cause
            .or_else(only)
            .or_else(trace::current)
            .map(|parent| trace::child_of(&parent));
        let envelope = Envelope::seal(id, self.service.as_str(), self.now, traceparent, message)
            .map_err(|error| DbErr::Json(error.to_string()))?;
        self.emitted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(envelope);
        Ok(id)
    }

    /// Does `work` if and when this transaction has committed, before [`Db::write`](super::Db::write)
    /// returns: counting what happened, dropping what a cache knows better. It is lost if the
    /// process dies in between, so nothing may depend on it.
    pub fn after_commit(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.afterwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::pin(work));
    }

    /// What this transaction says about `subject` carries on the trace of `traceparent`.
    pub fn belongs_to(&self, subject: Uuid, traceparent: String) {
        self.traces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(subject, traceparent);
    }

    /// The trace that what this transaction says about `subject` carries on, as far as it is known.
    #[must_use]
    pub fn trace_of(&self, subject: Uuid) -> Option<String> {
        let traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        traces.get(&subject).cloned()
    }

    /// What this transaction says about the subject of a message carries on its trace.
    pub(crate) fn carry_on(&self, incoming: &Envelope) {
        if let Some(traceparent) = &incoming.traceparent {
            self.belongs_to(incoming.subject, traceparent.clone());
        }
    }

    /// Everything that this transaction says is due to this message, whatever it is about.
    pub(crate) fn applies_only(&self, incoming: &Envelope) {
        self.only_trace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&incoming.traceparent);
    }

    /// Gives up what was written, and with it every lock: whoever is told that it failed and asks again
    /// must not meet this transaction. Dropped, it would end a moment later.
    pub(super) async fn rollback(self) {
        if let Err(error) = self.transaction.rollback().await {
            // Its connection is lost, and the transaction with it.
            tracing::debug!(service = %self.service, %error, "a transaction could not be rolled back");
        }
    }

    /// Writes what was emitted into the outbox, commits, and returns it with what is to be done
    /// now.
    pub(super) async fn commit(self) -> Result<Committed, DbErr> {
        let emitted = self.emitted.into_inner().unwrap_or_else(PoisonError::into_inner);
        outbox::insert(&self.transaction, &emitted, self.now).await?;
        self.transaction.commit().await?;
        Ok(Committed {
            emitted,
            afterwards: self
                .afterwards
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        })
    }
}

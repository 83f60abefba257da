//! What a service does with the messages that come in.

use std::{any::Any, collections::HashSet, marker::PhantomData, panic::AssertUnwindSafe};

use async_trait::async_trait;
use futures::FutureExt as _;
use sea_orm::DbErr;

use crate::{
    contracts::{Envelope, Message},
    db::Tx,
};

/// Why messages could not be applied. Nothing of their transaction is kept.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
    /// The message can't be read; no later try will change that.
    #[error("the message can't be read: {0}")]
    Unreadable(String),
    /// The service refuses it.
    #[error("the message can't be applied")]
    Rule(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The handler has a bug.
    #[error("the handler panicked: {0}")]
    Panicked(String),
}

impl HandleError {
    /// An error of the service's rules.
    pub fn rule(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Rule(error.into())
    }
}

/// Applies messages of one kind.
///
/// A slice holds what came together, at least one, and may hold the same aggregate, and even the
/// same content under different message ids, several times.
#[async_trait]
pub trait Handle<M: Message>: Send + Sync + 'static {
    /// Applies all of `messages` within `tx`, or fails as a whole.
    async fn handle(&self, tx: &Tx, messages: &[M]) -> Result<(), HandleError>;
}

/// All that a service handles. Of a batch, kinds are applied in the order in which they are
/// registered here, messages of one kind in the order in which they came.
#[derive(Default)]
pub struct Handlers {
    entries: Vec<(&'static str, Box<dyn ErasedHandle>)>,
}

impl Handlers {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also handles messages of kind `M` with `handler`.
    #[must_use]
    pub fn on<M: Message>(mut self, handler: impl Handle<M>) -> Self {
        self.entries.push((
            M::TYPE,
            Box::new(Typed {
                handler,
                kind: PhantomData,
            }),
        ));
        self
    }

    /// The CloudEvents types that are handled.
    pub fn types(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|(message_type, _)| *message_type)
    }

    /// Applies a batch. A panic is an error like others: it must cost the message that provokes
    /// it, not the task that applies all of them.
    pub(super) async fn apply(&self, tx: &Tx, envelopes: &[&Envelope]) -> Result<(), HandleError> {
        let known: HashSet<_> = self.types().collect();
        if let Some(stranger) = envelopes
            .iter()
            .find(|envelope| !known.contains(envelope.message_type.as_str()))
        {
            return Err(HandleError::Unreadable(format!(
                "nothing here handles `{}`",
                stranger.message_type
            )));
        }
        if let [only] = envelopes {
            tx.applies_only(only);
        }
        for (message_type, handler) in &self.entries {
            let of_this_kind: Vec<_> = envelopes
                .iter()
                .copied()
                .filter(|envelope| envelope.message_type == *message_type)
                .collect();
            if !of_this_kind.is_empty() {
                // Unwind safe: what a panic leaves half done is rolled back.
                AssertUnwindSafe(handler.apply(tx, &of_this_kind))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|panic| Err(HandleError::Panicked(message_of(&*panic))))?;
            }
        }
        Ok(())
    }
}

/// What a panic said.
pub(super) fn message_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "it does not say why".to_owned(),
    }
}

#[async_trait]
trait ErasedHandle: Send + Sync {
    async fn apply(&self, tx: &Tx, envelopes: &[&Envelope]) -> Result<(), HandleError>;
}

struct Typed<M, H> {
    handler: H,
    kind: PhantomData<fn() -> M>,
}

#[async_trait]
impl<M: Message, H: Handle<M>> ErasedHandle for Typed<M, H> {
    async fn apply(&self, tx: &Tx, envelopes: &[&Envelope]) -> Result<(), HandleError> {
        let messages = envelopes
            .iter()
            .map(|envelope| {
                tx.carry_on(envelope);
                envelope
                    .open::<M>()
                    .map_err(|error| HandleError::Unreadable(error.to_string()))
            })
            .collect::<Result<Vec<M>, _>>()?;
        self.handler.handle(tx, &messages).await
    }
}

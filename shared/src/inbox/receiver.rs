//! Takes batches from the bus and applies them.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;

use super::{
    handlers::{HandleError, Handlers},
    retry,
    store::{self, Failure, Status},
};
use crate::{
    bus::{Bus, Incoming, Side},
    contracts::{Envelope, Queue, ServiceName},
    db::{self, Db},
    ids::MessageId,
    telemetry::trace,
};

/// Messages applied in one transaction at most.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(500);

/// Consumes one queue for one service in one process.
pub struct Receiver {
    db: Db,
    bus: Arc<dyn Bus>,
    queue: &'static Queue,
    handlers: Arc<Handlers>,
}

impl Receiver {
    /// A receiver for `queue` that applies its messages with `handlers` in `db`.
    #[must_use]
    pub fn new(db: Db, bus: Arc<dyn Bus>, queue: &'static Queue, handlers: Arc<Handlers>) -> Self {
        Self {
            db,
            bus,
            queue,
            handlers,
        }
    }

    /// Consumes until `stop`; a batch that has begun is finished.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.consume(Side::Main, &stop), self.consume(Side::Dead, &stop));
    }

    async fn consume(&self, side: Side, stop: &CancellationToken) {
        let mut consumer = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                consumer = self.bus.consume(self.queue, side) => match consumer {
                    Ok(consumer) => break consumer,
                    Err(error) => {
                        tracing::warn!(queue = self.queue.name, %error, "can't consume yet");
                        if wait(PAUSE, stop).await.is_none() { return; }
                    }
                }
            }
        };
        loop {
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                delivery = consumer.next_batch(BATCH) => delivery,
            };
            let dealt_with = match side {
                Side::Main => self.receive(&delivery.messages, stop).await,
                Side::Dead => self.park_dead(&delivery.messages, stop).await,
            };
            // Dropped otherwise, so that it comes again.
            if dealt_with {
                delivery.acknowledge().await;
            }
        }
    }

    /// Deals with a batch; false if it was given up because of `stop`.
    async fn receive(&self, messages: &[Incoming], stop: &CancellationToken) -> bool {
        let mut envelopes = Vec::with_capacity(messages.len());
        for message in messages {
            match serde_json::from_slice::<Envelope>(&message.body) {
                Ok(envelope) => envelopes.push(envelope),
                Err(error) => {
                    let error = format!("the envelope can't be read: {error}");
                    if !self
                        .until_kept(None, &message.body, &error, Status::Parked, stop)
                        .await
                    {
                        return false;
                    }
                }
            }
        }
        let all: Vec<_> = envelopes.iter().collect();
        match self.apply(&all, stop).await {
            Applied::Yes => true,
            Applied::Stopped => false,
            Applied::No(_) => {
                // One of them is bad; the others must not suffer for it.
                for envelope in all {
                    if !self.receive_alone(envelope, stop).await {
                        return false;
                    }
                }
                true
            }
        }
    }

    async fn receive_alone(&self, envelope: &Envelope, stop: &CancellationToken) -> bool {
        match self.apply(&[envelope], stop).await {
            Applied::Yes => true,
            Applied::Stopped => false,
            Applied::No(error) => {
                let status = match error {
                    HandleError::Unreadable(_) => Status::Parked,
                    _ => Status::Retry,
                };
                let body = serde_json::to_vec(envelope).unwrap_or_default();
                self.until_kept(Some(envelope.id), &body, &describe(&error), status, stop)
                    .await
            }
        }
    }

    /// Applies the messages in one transaction, for as often as the database is away.
    async fn apply(&self, envelopes: &[&Envelope], stop: &CancellationToken) -> Applied {
        if envelopes.is_empty() {
            return Applied::Yes;
        }
        loop {
            match apply_once(&self.db, &self.handlers, envelopes).await {
                Ok(()) => {
                    for envelope in envelopes {
                        log_applied(self.db.service(), envelope);
                    }
                    return Applied::Yes;
                }
                Err(error) if db::is_outage(&error) => {
                    tracing::warn!(
                        queue = self.queue.name,
                        error = describe(&error),
                        "the database is away; messages wait"
                    );
                    if wait(PAUSE, stop).await.is_none() {
                        return Applied::Stopped;
                    }
                }
                Err(error) => return Applied::No(error),
            }
        }
    }

    async fn park_dead(&self, messages: &[Incoming], stop: &CancellationToken) -> bool {
        for message in messages {
            let id = serde_json::from_slice::<Envelope>(&message.body)
                .ok()
                .map(|envelope| envelope.id);
            let error = "the broker gave up delivering it";
            if !self
                .until_kept(id, &message.body, error, Status::Parked, stop)
                .await
            {
                return false;
            }
        }
        true
    }

    /// Keeps what failed, for as long as it takes; false if given up because of `stop`.
    async fn until_kept(
        &self,
        id: Option<MessageId>,
        body: &[u8],
        error: &str,
        status: Status,
        stop: &CancellationToken,
    ) -> bool {
        loop {
            match self.keep(id, body, error, status).await {
                Ok(()) => {
                    tracing::error!(
                        queue = self.queue.name,
                        ?id,
                        ?status,
                        error,
                        "a message could not be applied"
                    );
                    return true;
                }
                Err(error) => {
                    tracing::warn!(queue = self.queue.name, %error, "a failed message can't be kept yet");
                    if wait(PAUSE, stop).await.is_none() {
                        return false;
                    }
                }
            }
        }
    }

    async fn keep(
        &self,
        id: Option<MessageId>,
        body: &[u8],
        error: &str,
        status: Status,
    ) -> Result<(), DbErr> {
        self.db
            .write(|tx| async move {
                let now = tx.now();
                let failure = Failure {
                    id: id.unwrap_or_else(|| MessageId::new(now)),
                    status,
                    next_attempt_at: (status == Status::Retry).then(|| now + retry::pause(1)),
                    error: error.to_owned(),
                    // PostgreSQL's text takes no NUL.
                    body: String::from_utf8_lossy(body).replace('\0', "\u{fffd}"),
                };
                store::keep(tx.conn(), failure, now).await
            })
            .await
    }
}

enum Applied {
    Yes,
    No(HandleError),
    Stopped,
}

async fn apply_once(db: &Db, handlers: &Handlers, envelopes: &[&Envelope]) -> Result<(), HandleError> {
    db.write(|tx| async move {
        let mut ids: Vec<_> = envelopes.iter().map(|envelope| envelope.id).collect();
        // Replicas that are handed the same messages wait for each other's rows in one order.
        ids.sort_unstable();
        let mut fresh = store::claim(tx.conn(), &ids, tx.now()).await?;
        // `remove`: the same message may be in the batch twice.
        let news: Vec<_> = envelopes
            .iter()
            .copied()
            .filter(|envelope| fresh.remove(&envelope.id))
            .collect();
        handlers.apply(&tx, &news).await
    })
    .await
}

/// One line a message, so that a request can be followed through every service by its trace.
pub(super) fn log_applied(service: ServiceName, envelope: &Envelope) {
    let trace_id = envelope.traceparent.as_deref().and_then(trace::trace_id);
    tracing::info!(
        %service,
        trace_id,
        message_type = envelope.message_type,
        subject = %envelope.subject,
        id = %envelope.id,
        "applied"
    );
}

/// The error with its sources, on one line.
pub(super) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

async fn wait(pause: Duration, stop: &CancellationToken) -> Option<()> {
    tokio::select! {
        () = stop.cancelled() => None,
        () = tokio::time::sleep(pause) => Some(()),
    }
}

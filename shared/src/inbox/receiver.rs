//! Takes batches from the bus and applies them.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use sea_orm::DbErr;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::{Builder, Bytes};

use super::{
    attendance::Attendance,
    counts::Counts,
    handlers::{self, HandleError, Handlers},
    retry,
    store::{self, Failure, Status},
};
use crate::{
    bus::{Bus, Incoming, Side},
    contracts::{Envelope, Queue, ServiceName},
    db::{self, Db},
    ids::MessageId,
    telemetry::{describe, trace},
};

/// Messages applied in one transaction at most.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(500);
/// Failures in a row that look like an outage while the database answers, after which they are
/// put down to the messages.
const DOUBTS: u32 = 10;
const NOT_KEPT: &str = "it failed, and why can't be kept; the log has it";

/// Consumes one queue for one service in one process.
pub struct Receiver {
    db: Db,
    bus: Arc<dyn Bus>,
    queue: &'static Queue,
    handlers: Arc<Handlers>,
    attendance: Attendance,
    counts: Counts,
}

impl Receiver {
    /// A receiver for `queue` that applies its messages with `handlers` in `db`.
    #[must_use]
    pub fn new(db: Db, bus: Arc<dyn Bus>, queue: &'static Queue, handlers: Arc<Handlers>) -> Self {
        Self {
            counts: Counts::of(db.service()),
            attendance: Attendance::new(db.clone(), Arc::clone(&bus)),
            db,
            bus,
            queue,
            handlers,
        }
    }

    /// Consumes until `stop`, and never ends before; a batch that has begun is finished.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(
            self.keep_consuming(Side::Main, &stop),
            self.keep_consuming(Side::Dead, &stop),
            self.attendance.run(&stop)
        );
    }

    /// A panic of a handler is an error of its message. One from anywhere else must not end the
    /// queue either: what was in hand comes again.
    async fn keep_consuming(&self, side: Side, stop: &CancellationToken) {
        while let Err(panic) = AssertUnwindSafe(self.consume(side, stop)).catch_unwind().await {
            let why = handlers::message_of(&*panic);
            tracing::error!(
                queue = self.queue.name,
                why,
                "the receiver panicked and begins again"
            );
            if wait(PAUSE, stop).await.is_none() {
                return;
            }
        }
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
        let mut calls = Vec::new();
        for message in messages {
            match serde_json::from_slice::<Envelope>(&message.body) {
                Ok(mut envelope) => {
                    calls.extend(envelope.rollcall.take());
                    envelopes.push(envelope);
                }
                Err(error) => {
                    let failed = Failed {
                        error: &format!("the envelope can't be read: {error}"),
                        ..Failed::for_good(&message.body)
                    };
                    if !self.until_kept(failed, stop).await {
                        return false;
                    }
                }
            }
        }
        let all: Vec<_> = envelopes.iter().collect();
        match self.apply(&all, stop).await {
            Applied::Yes => {}
            Applied::Stopped => return false,
            Applied::No(_) => {
                // One of them is bad; the others must not suffer for it.
                for envelope in all {
                    if !self.receive_alone(envelope, stop).await {
                        return false;
                    }
                }
            }
        }
        // Not before what came with them, and before them, is applied here, however long that took.
        for call in calls {
            self.attendance.answer_later(call);
        }
        true
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
                let failed = Failed {
                    id: envelope.id,
                    traceparent: envelope.traceparent.as_deref(),
                    body: &serde_json::to_vec(envelope).unwrap_or_default(),
                    error: &describe(&error),
                    status,
                };
                self.until_kept(failed, stop).await
            }
        }
    }

    /// Applies the messages in one transaction, for as often as the database is away.
    ///
    /// One message can make the database, or what lies between, behave as if it were away; it
    /// would hold up all others for ever. So an outage in which the database answers again and
    /// again is one no longer. If it is one after all (a full disk answers), nothing is lost:
    /// then the failure can't be kept either, and that is waited for.
    async fn apply(&self, envelopes: &[&Envelope], stop: &CancellationToken) -> Applied {
        if envelopes.is_empty() {
            return Applied::Yes;
        }
        let mut doubts = 0;
        loop {
            let began = Instant::now();
            let error = match apply_once(&self.db, &self.handlers, envelopes).await {
                Ok(fresh) => {
                    self.counts.applied(envelopes.len(), fresh.len(), began.elapsed());
                    for envelope in fresh {
                        log_applied(self.db.service(), envelope);
                    }
                    return Applied::Yes;
                }
                Err(error) if db::is_outage(&error) => error,
                Err(error) => return Applied::No(error),
            };
            doubts = match self.db.ping().await {
                Ok(()) => doubts + 1,
                Err(_) => 0,
            };
            if doubts >= DOUBTS {
                return Applied::No(error);
            }
            tracing::warn!(
                queue = self.queue.name,
                error = describe(&error),
                "the database is away; messages wait"
            );
            if wait(PAUSE, stop).await.is_none() {
                return Applied::Stopped;
            }
        }
    }

    async fn park_dead(&self, messages: &[Incoming], stop: &CancellationToken) -> bool {
        for message in messages {
            let envelope = serde_json::from_slice::<Envelope>(&message.body).ok();
            let unknown = Failed {
                error: "the broker gave up delivering it",
                ..Failed::for_good(&message.body)
            };
            let failed = match &envelope {
                Some(envelope) => Failed {
                    id: envelope.id,
                    traceparent: envelope.traceparent.as_deref(),
                    ..unknown
                },
                None => unknown,
            };
            if !self.until_kept(failed, stop).await {
                return false;
            }
        }
        true
    }

    /// Keeps what failed, for as long as the database is away; false if given up because of
    /// `stop`. What it refuses for another reason is kept with a fixed text in the place of the
    /// error; the message itself is never let go. Told and counted once it is kept, and by who
    /// kept it: what is kept already comes again after every lost acknowledgement.
    async fn until_kept(&self, failed: Failed<'_>, stop: &CancellationToken) -> bool {
        let (id, status) = (failed.id, failed.status);
        let trace_id = failed.traceparent.and_then(trace::trace_id);
        let mut to_keep = failed;
        let kept = loop {
            let error = match self.keep(to_keep).await {
                Ok(kept) => break kept,
                Err(error) => error,
            };
            tracing::warn!(
                queue = self.queue.name,
                trace_id,
                %id,
                error = describe(&error),
                why = failed.error,
                "a failed message can't be kept yet"
            );
            if !db::is_outage(&error) && to_keep.error != NOT_KEPT {
                to_keep.error = NOT_KEPT;
            } else if wait(PAUSE, stop).await.is_none() {
                return false;
            }
        };
        if kept {
            tracing::error!(
                service = %self.db.service(),
                queue = self.queue.name,
                trace_id,
                %id,
                ?status,
                error = failed.error,
                "a message could not be applied"
            );
            self.counts.kept(status);
        }
        true
    }

    /// False if it was kept already.
    async fn keep(&self, failed: Failed<'_>) -> Result<bool, DbErr> {
        let body = &String::from_utf8_lossy(failed.body);
        self.db
            .write(|tx| async move {
                let now = tx.now();
                let failure = Failure {
                    id: failed.id,
                    status: failed.status,
                    next_attempt_at: (failed.status == Status::Retry).then(|| now + retry::pause(1)),
                    error: failed.error,
                    body,
                };
                store::keep(tx.conn(), failure, now).await
            })
            .await
    }
}

/// A message that is to be kept with its error.
#[derive(Clone, Copy)]
struct Failed<'a> {
    id: MessageId,
    traceparent: Option<&'a str>,
    body: &'a [u8],
    error: &'a str,
    status: Status,
}

impl<'a> Failed<'a> {
    /// Bytes without an envelope, to be parked.
    fn for_good(body: &'a [u8]) -> Self {
        Self {
            id: id_of_bytes(body),
            traceparent: None,
            body,
            error: NOT_KEPT,
            status: Status::Parked,
        }
    }
}

/// The id of what has none: always the same for the same bytes, so that they are parked once,
/// however often they come.
fn id_of_bytes(body: &[u8]) -> MessageId {
    let mut bytes = Bytes::default();
    for (byte, hashed) in bytes.iter_mut().zip(Sha256::digest(body)) {
        *byte = hashed;
    }
    MessageId(Builder::from_custom_bytes(bytes).into_uuid())
}

enum Applied {
    Yes,
    No(HandleError),
    Stopped,
}

/// Applies the messages in one transaction; those of them that had not been applied before.
async fn apply_once<'a>(
    db: &Db,
    handlers: &Handlers,
    envelopes: &[&'a Envelope],
) -> Result<Vec<&'a Envelope>, HandleError> {
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
        handlers.apply(&tx, &news).await?;
        Ok(news)
    })
    .await
}

/// One line a message, so that a request can be followed through every service by its trace.
/// For after the commit: before it, nothing is applied.
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

async fn wait(pause: Duration, stop: &CancellationToken) -> Option<()> {
    tokio::select! {
        () = stop.cancelled() => None,
        () = tokio::time::sleep(pause) => Some(()),
    }
}

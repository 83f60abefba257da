//! Carries what was committed to the bus.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::{Counter, Histogram};
use sea_orm::DbErr;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    roll::{Published, Roll},
    store::{self, Rows},
};
use crate::{
    bus::{Address, Bus, Outgoing},
    contracts::{self, Envelope, ServiceName, subscribers},
    db::{Db, bounded},
    ids::MessageId,
    telemetry::metrics::{OUTBOX_BATCH, OUTBOX_BATCH_DURATION, OUTBOX_PUBLISHES},
};

/// Messages published together.
const BATCH: usize = 256;
/// Batches that may be on their way at once. Generous, since on the embedded bus a batch is on
/// its way until its subscribers have committed.
const IN_FLIGHT: usize = 64;
const POLL: Duration = Duration::from_millis(300);
/// How long what was confirmed waits for more that is recorded with it; well under the second
/// after which another replica takes a row to be left behind.
const RECORD_AFTER: Duration = Duration::from_millis(100);
/// How long a shutdown waits for what is on its way; the rest is the next start's.
const FLUSH: Duration = Duration::from_secs(3);

/// The relay of one service in one process.
pub struct Relay {
    shared: Arc<Shared>,
    committed: mpsc::Receiver<Vec<Envelope>>,
}

struct Shared {
    db: Db,
    bus: Arc<dyn Bus>,
    /// What this process is publishing now, so that its own poller does not publish it beside.
    on_the_way: Mutex<HashSet<MessageId>>,
    /// What was confirmed, which is to be recorded; whoever finds it empty does it for all.
    confirmed: Mutex<Vec<Outgoing>>,
    /// Follows what was confirmed to its subscribers; none where the bus does so itself.
    roll: Option<Roll>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    counts: Counts,
}

/// What the relay counts; looked up once.
struct Counts {
    published: Counter,
    failed: Counter,
    batch: Histogram,
    took: Histogram,
}

impl Counts {
    fn of(service: ServiceName) -> Self {
        let service = service.as_str();
        let publishes = |outcome| OUTBOX_PUBLISHES.counter(&[("service", service), ("outcome", outcome)]);
        Self {
            published: publishes("published"),
            failed: publishes("failed"),
            batch: OUTBOX_BATCH.histogram(&[("service", service)]),
            took: OUTBOX_BATCH_DURATION.histogram(&[("service", service)]),
        }
    }

    fn published(&self, all: usize, confirmed: usize, took: Duration) {
        self.published.increment(confirmed as u64);
        self.failed.increment(all.saturating_sub(confirmed) as u64);
        self.batch.record(u32::try_from(all).map_or(f64::MAX, f64::from));
        self.took.record(took);
    }
}

impl Relay {
    /// A relay for what `db` hands over in `committed`.
    #[must_use]
    pub fn new(db: Db, bus: Arc<dyn Bus>, committed: mpsc::Receiver<Vec<Envelope>>) -> Self {
        let shared = Shared {
            counts: Counts::of(db.service()),
            roll: bus
                .needs_roll_calls()
                .then(|| Roll::new(db.clone(), Arc::clone(&bus))),
            db,
            bus,
            on_the_way: Mutex::default(),
            confirmed: Mutex::default(),
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            tasks: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
            committed,
        }
    }

    /// Publishes until `stop`, then sends what is in hand, in bounded time.
    pub async fn run(self, stop: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        let follow = async {
            if let Some(roll) = &shared.roll {
                roll.run(&stop).await;
            }
        };
        tokio::join!(self.publish_until(stop.clone()), follow);
    }

    async fn publish_until(mut self, stop: CancellationToken) {
        let mut due = Instant::now();
        while !stop.is_cancelled() {
            // Looked at first, so that a steady stream of new messages does not starve the old;
            // and one batch of the new after each look, so that the old do not starve the new.
            if due <= Instant::now() {
                let more = self.publish_left_behind(&stop).await;
                due = Instant::now() + if more { Duration::ZERO } else { POLL };
                if let Ok(first) = self.committed.try_recv() {
                    self.publish_committed(first, &stop).await;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(first) = self.committed.recv() => self.publish_committed(first, &stop).await,
                () = tokio::time::sleep_until(due) => {}
            }
        }
        while let Ok(envelopes) = self.committed.try_recv() {
            self.publish_committed(envelopes, &stop).await;
        }
        self.shared.tasks.close();
        if tokio::time::timeout(FLUSH, self.shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::info!(service = %self.shared.db.service(), "messages are left in the outbox for the next start");
        }
    }

    /// Takes what else is there, without waiting for company, and sends it on its way.
    async fn publish_committed(&mut self, first: Vec<Envelope>, stop: &CancellationToken) {
        let mut envelopes = first;
        while envelopes.len() < BATCH {
            match self.committed.try_recv() {
                Ok(more) => envelopes.extend(more),
                Err(_) => break,
            }
        }
        let mut batch = Vec::with_capacity(envelopes.len());
        for envelope in &envelopes {
            match serde_json::to_vec(envelope) {
                Ok(body) => batch.extend(outgoing(envelope, body)),
                Err(error) => {
                    tracing::error!(%error, id = %envelope.id, "a message can't be written as JSON")
                }
            }
        }
        self.send(batch, stop).await;
    }

    /// Sends what nobody has in hand on its way, one batch of it; whether there may be more.
    async fn publish_left_behind(&self, stop: &CancellationToken) -> bool {
        match self.lease().await {
            Ok(rows) => {
                let more = rows.len() >= BATCH;
                let batch: Vec<_> = rows
                    .into_iter()
                    .filter_map(|row| match serde_json::from_str::<Envelope>(&row.body) {
                        Ok(envelope) => outgoing(&envelope, row.body.into_bytes()),
                        Err(error) => {
                            tracing::error!(service = %self.shared.db.service(), %error, id = %row.id, "an outbox row can't be read");
                            None
                        }
                    })
                    .collect();
                self.send(batch, stop).await;
                more
            }
            Err(error) => {
                tracing::warn!(service = %self.shared.db.service(), %error, "the outbox can't be read");
                false
            }
        }
    }

    async fn lease(&self) -> Result<Vec<store::entity::Model>, DbErr> {
        let db = &self.shared.db;
        let now = db.now();
        // Looking costs no write transaction; most of the time there is nothing.
        let rows = self.shared.rows();
        if !bounded(store::any_left(db.reader(), rows, now)).await? {
            return Ok(Vec::new());
        }
        db.write(|tx| async move { store::lease(tx.conn(), rows, now, BATCH as u64).await })
            .await
    }

    /// Sends `batch` on its way, as soon as there is room. After `stop` it is only sent if there
    /// is room at once; else it stays in the outbox.
    async fn send(&self, batch: Vec<Outgoing>, stop: &CancellationToken) {
        let batch = InHand::take(&self.shared, batch);
        if batch.messages.is_empty() {
            return;
        }
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&self.shared.permits).acquire_owned() => permit,
            () = stop.cancelled() => return,
        };
        let Ok(permit) = permit else {
            return;
        };
        self.shared.tasks.spawn(async move {
            batch.publish().await;
            drop(permit);
        });
    }
}

/// Messages that this process is publishing. Dropped, whatever the reason, they may be taken
/// again.
struct InHand {
    shared: Arc<Shared>,
    messages: Vec<Outgoing>,
}

impl InHand {
    /// Those of `messages` that are not in hand already.
    fn take(shared: &Arc<Shared>, mut messages: Vec<Outgoing>) -> Self {
        let mut on_the_way = shared.on_the_way();
        messages.retain(|message| on_the_way.insert(message.id));
        drop(on_the_way);
        Self {
            shared: Arc::clone(shared),
            messages,
        }
    }

    async fn publish(mut self) {
        let db = &self.shared.db;
        let began = Instant::now();
        let outcomes = self.shared.bus.publish(&self.messages).await;
        let mut confirmed = Vec::with_capacity(self.messages.len());
        let mut left = Vec::new();
        let mut failed = None;
        let mut outcomes = outcomes.into_iter();
        // From here on they are dropped as part of `left`, or recorded.
        for message in std::mem::take(&mut self.messages) {
            match outcomes.next() {
                Some(Ok(())) => {
                    confirmed.push(message);
                    continue;
                }
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
            left.push(message);
        }
        let all = confirmed.len() + left.len();
        self.messages = left;
        self.shared
            .counts
            .published(all, confirmed.len(), began.elapsed());
        if let Some(error) = failed {
            let left = self.messages.len();
            tracing::warn!(service = %db.service(), left, error = %error, "messages could not be published; they stay in the outbox");
        }
        // What was confirmed stays on the way until that is recorded.
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.record(confirmed).await;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut on_the_way = self.shared.on_the_way();
        for message in &self.messages {
            on_the_way.remove(&message.id);
        }
    }
}

impl Shared {
    fn on_the_way(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirmed(&self) -> MutexGuard<'_, Vec<Outgoing>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the poller looks for. A bus that needs no roll calls takes also what awaits one, as of the
    /// time before the platform was moved from a broker to it.
    fn rows(&self) -> Rows {
        if self.roll.is_some() {
            Rows::Unpublished
        } else {
            Rows::All
        }
    }

    /// Records `confirmed` together with what others confirm in the next moment.
    async fn record(self: Arc<Self>, confirmed: Vec<Outgoing>) {
        if confirmed.is_empty() {
            return;
        }
        let is_first = {
            let mut waiting = self.confirmed();
            let is_first = waiting.is_empty();
            waiting.extend(confirmed);
            is_first
        };
        if is_first {
            let recording = Recording {
                shared: self,
                taken: None,
            };
            tokio::time::sleep(RECORD_AFTER).await;
            recording.run().await;
        }
    }

    /// The services that are to acknowledge what the bus has confirmed.
    fn awaiting(&self, message: &Outgoing) -> i32 {
        match &message.to {
            Address::Route {
                exchange,
                routing_key,
            } if self.roll.is_some() => subscribers(*exchange, routing_key),
            _ => 0,
        }
    }
}

/// The one who records for all what was confirmed. However it ends, what it had in hand is so no longer.
struct Recording {
    shared: Arc<Shared>,
    /// What it has taken over.
    taken: Option<Vec<Outgoing>>,
}

impl Recording {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let confirmed = self.taken.insert(std::mem::take(&mut *shared.confirmed()));
        let mut awaiting: BTreeMap<i32, Vec<MessageId>> = BTreeMap::new();
        for message in &*confirmed {
            awaiting
                .entry(shared.awaiting(message))
                .or_default()
                .push(message.id);
        }
        for (services, ids) in &awaiting {
            let db = &shared.db;
            // Each is one statement, which needs no transaction around it.
            let recorded = async {
                match services {
                    0 => store::delete(db.writer(), ids).await,
                    services => store::mark_published(db.writer(), ids, *services, db.now()).await,
                }
            };
            if let Err(error) = bounded(recorded).await {
                tracing::warn!(service = %db.service(), %error, "confirmed messages stay in the outbox and will travel again");
                return;
            }
        }
        if let Some(roll) = &shared.roll {
            roll.add(confirmed.iter().filter_map(|message| {
                let awaiting = shared.awaiting(message);
                (awaiting != 0).then(|| Published {
                    id: message.id,
                    awaiting,
                    body: Arc::clone(&message.body),
                })
            }));
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let waiting = || std::mem::take(&mut *self.shared.confirmed());
        let messages = self.taken.take().unwrap_or_else(waiting);
        let mut on_the_way = self.shared.on_the_way();
        for message in &messages {
            on_the_way.remove(&message.id);
        }
    }
}

/// Where an envelope goes, by its type. A type that is in no contract goes nowhere.
fn outgoing(envelope: &Envelope, body: Vec<u8>) -> Option<Outgoing> {
    let Some((exchange, routing_key)) = contracts::route_of(&envelope.message_type) else {
        tracing::error!(
            message_type = envelope.message_type,
            "a message of a type that is in no contract"
        );
        return None;
    };
    Some(Outgoing {
        id: envelope.id,
        to: Address::Route {
            exchange,
            routing_key: routing_key.to_owned(),
        },
        body: body.into(),
    })
}

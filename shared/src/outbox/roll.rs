//! The roll call: whether what the broker has confirmed has arrived at each subscriber.
//!
//! See [`RollCall`] for what travels. A process asks for what it has published itself, from memory, each
//! [`EVERY`]. What no answer came for (the roll call was lost with its queue, the process ended, the
//! subscriber is away) any replica finds in the outbox when it is due, and asks again. What a subscriber
//! lacks is published again, straight to its queue, under the same id: its inbox makes that exactly once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sea_orm::DbErr;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::store::{self, Due};
use crate::{
    bus::{Address, Bus, Heard, Outgoing},
    contracts::{Envelope, QUEUES, Queue, RollAnswer, RollCall, route_of},
    db::{Db, bounded},
    ids::{MessageId, new_uuid},
    telemetry::{describe, metrics::MESSAGES_MISSED},
};

/// How often a process asks.
const EVERY: Duration = Duration::from_secs(1);
/// Messages in one roll call.
const MOST: usize = 1_000;
/// Messages that are due in the outbox and taken up at once.
const PAGE: u64 = 2_000;
/// Roll calls of one process that one subscriber may leave unanswered. More are not sent until it answers:
/// they would pile up in the queue of a subscriber that is away.
const UNANSWERED: usize = 16;
/// After this a roll call is taken for lost.
const LOST_AFTER: Duration = Duration::from_secs(300);
/// Messages that a process remembers until it asks for them. The others are found in the outbox.
const REMEMBERED: usize = 50_000;

/// A message that the broker has confirmed and that these services are to acknowledge.
pub(super) struct Published {
    pub id: MessageId,
    pub awaiting: i32,
    pub body: Arc<[u8]>,
}

/// What one subscriber was asked for.
struct Asked {
    queue: &'static Queue,
    messages: Vec<MessageId>,
    at: Instant,
}

/// The roll calls of one service in one process.
pub(super) struct Roll {
    db: Db,
    bus: Arc<dyn Bus>,
    /// The queue for answers.
    answers: String,
    published: Mutex<Vec<Published>>,
    asked: Mutex<HashMap<Uuid, Asked>>,
}

impl Roll {
    pub(super) fn new(db: Db, bus: Arc<dyn Bus>) -> Self {
        Self {
            answers: format!("kopeck.answers.{}.{}", db.service(), new_uuid(db.now())),
            db,
            bus,
            published: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// What is to be asked for.
    pub(super) fn add(&self, published: impl Iterator<Item = Published>) {
        let mut all = self.published();
        let room = REMEMBERED.saturating_sub(all.len());
        all.extend(published.take(room));
    }

    /// Asks and hears answers until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let both = async { tokio::join!(self.keep_asking(), self.keep_hearing()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = both => {}
        }
    }

    async fn keep_asking(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.ask_for_published().await;
            if let Err(error) = self.ask_again().await {
                tracing::warn!(service = %self.db.service(), error = describe(&error), "the outbox can't be read for a roll call");
            }
        }
    }

    async fn keep_hearing(&self) {
        let mut mailbox = loop {
            match self.bus.mailbox(&self.answers).await {
                Ok(mailbox) => break mailbox,
                Err(error) => tracing::debug!(%error, "answers to roll calls can't be heard yet"),
            }
            tokio::time::sleep(EVERY).await;
        };
        loop {
            let Heard::Message(message) = mailbox.next().await else {
                continue;
            };
            match serde_json::from_slice::<RollAnswer>(&message.body) {
                Ok(answer) => self.take(answer).await,
                Err(error) => tracing::warn!(%error, "the answer to a roll call can't be read"),
            }
        }
    }

    /// Asks for what this process has published since the last time.
    async fn ask_for_published(&self) {
        let published = std::mem::take(&mut *self.published());
        for queue in QUEUES {
            let awaited: Vec<_> = published
                .iter()
                .filter(|message| message.awaiting & queue.service.bit() != 0)
                .collect();
            for chunk in awaited.chunks(MOST) {
                if let [.., last] = chunk {
                    let ids = chunk.iter().map(|message| message.id).collect();
                    self.ask(queue, ids, &last.body).await;
                }
            }
        }
    }

    /// Asks for what is due in the outbox: no answer has come for it.
    async fn ask_again(&self) -> Result<(), DbErr> {
        let db = &self.db;
        let now = db.now();
        // Looking costs no write transaction; most of the time there is nothing.
        if !bounded(store::any_left(db.reader(), store::Rows::Awaiting, now)).await? {
            return Ok(());
        }
        let due: Vec<Due> = db
            .write(|tx| async move { store::lease_awaiting(tx.conn(), now, PAGE).await })
            .await?;
        for queue in QUEUES {
            let mut awaited: Vec<_> = due
                .iter()
                .filter(|message| message.awaiting & queue.service.bit() != 0)
                .map(|message| message.id)
                .collect();
            awaited.sort_unstable();
            for chunk in awaited.chunks(MOST) {
                let Some(last) = chunk.last() else { continue };
                // Acknowledged meanwhile, and with it most likely the others.
                let Some(body) = bounded(store::body(db.reader(), *last)).await? else {
                    continue;
                };
                self.ask(queue, chunk.to_vec(), body.as_bytes()).await;
            }
        }
        Ok(())
    }

    /// Sends one roll call, on a repeat of the last of its messages. So a program that does not know
    /// roll calls only sees a message that it knows, or lacked.
    async fn ask(&self, queue: &'static Queue, messages: Vec<MessageId>, last: &[u8]) {
        let id = new_uuid(self.db.now());
        let Some(call) = self.call(id, &messages, last) else {
            return;
        };
        if !self.expect(id, queue, messages) {
            return;
        }
        let outgoing = Outgoing {
            to: Address::Queue(queue.name.into()),
            ..call
        };
        if let Some(Err(error)) = self.bus.publish(&[outgoing]).await.pop() {
            tracing::debug!(queue = queue.name, %error, "a roll call could not be sent; it comes again");
            self.asked().remove(&id);
        }
    }

    fn call(&self, id: Uuid, messages: &[MessageId], last: &[u8]) -> Option<Outgoing> {
        let mut envelope = serde_json::from_slice::<Envelope>(last).ok()?;
        envelope.rollcall = Some(RollCall {
            id,
            messages: messages.to_vec(),
            answer_to: self.answers.clone(),
        });
        Some(Outgoing {
            id: envelope.id,
            to: Address::Queue(self.answers.clone().into()),
            body: serde_json::to_vec(&envelope).ok()?.into(),
        })
    }

    /// Remembers what is asked for; false if the subscriber leaves too many roll calls unanswered.
    fn expect(&self, id: Uuid, queue: &'static Queue, messages: Vec<MessageId>) -> bool {
        let mut asked = self.asked();
        asked.retain(|_, asked| asked.at.elapsed() < LOST_AFTER);
        let unanswered = asked
            .values()
            .filter(|asked| asked.queue.service == queue.service)
            .count();
        if unanswered >= UNANSWERED {
            return false;
        }
        let at = Instant::now();
        asked.insert(id, Asked { queue, messages, at });
        true
    }

    /// Forgets what has arrived, and publishes again what has not.
    async fn take(&self, answer: RollAnswer) {
        let Some(asked) = self.asked().remove(&answer.id) else {
            return;
        };
        let missing: HashSet<_> = answer.missing.into_iter().collect();
        let (missing, arrived): (Vec<_>, Vec<_>) =
            asked.messages.iter().partition(|id| missing.contains(*id));
        let acknowledged = store::acknowledge(self.db.writer(), &arrived, asked.queue.service);
        if let Err(error) = bounded(acknowledged).await {
            tracing::warn!(service = %self.db.service(), error = describe(&error), "acknowledged messages stay in the outbox and are asked for again");
        }
        if !missing.is_empty()
            && let Err(error) = self.publish_again(asked.queue, &missing).await
        {
            tracing::warn!(service = %self.db.service(), error = describe(&error), "what a subscriber lacks can't be read; it is asked again");
        }
    }

    /// They are asked for again when they are due.
    async fn publish_again(&self, queue: &'static Queue, missing: &[MessageId]) -> Result<(), DbErr> {
        let rows = bounded(store::unacknowledged(self.db.reader(), missing, queue.service)).await?;
        let mut types = HashSet::new();
        let mut batch = Vec::new();
        for row in rows {
            let Ok(envelope) = serde_json::from_str::<Envelope>(&row.body) else {
                continue;
            };
            let takes = route_of(&envelope.message_type)
                .is_some_and(|(exchange, routing_key)| queue.takes(exchange, routing_key));
            if takes {
                types.insert(envelope.message_type);
                batch.push(Outgoing {
                    id: row.id,
                    to: Address::Queue(queue.name.into()),
                    body: row.body.into_bytes().into(),
                });
            }
        }
        let Some(first) = batch.first().map(|message| message.id) else {
            return Ok(());
        };
        let outcomes = self.bus.publish(&batch).await;
        let again = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        MESSAGES_MISSED
            .counter(&[
                ("service", self.db.service().as_str()),
                ("subscriber", queue.service.as_str()),
            ])
            .increment(again as u64);
        let types: Vec<_> = types.into_iter().collect();
        tracing::error!(
            service = %self.db.service(),
            queue = queue.name,
            missing = batch.len(),
            published_again = again,
            %first,
            types = types.join(" "),
            "a subscriber lacks messages that the broker has confirmed: a binding or a queue was lost, or a replica hangs"
        );
        Ok(())
    }

    fn published(&self) -> MutexGuard<'_, Vec<Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Uuid, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

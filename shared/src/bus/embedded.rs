//! The bus within one process.
//!
//! It keeps nothing on disk, and needs not to: `Ok` from [`Bus::publish`] means that every
//! subscriber has committed, so the sender's outbox row outlives a crash until then.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::{Notify, broadcast, oneshot};

use super::{Address, Bus, BusError, Consumer, Delivery, Heard, Incoming, Listener, Outgoing, Receipt, Side};
use crate::contracts::{Binding, Exchange, QUEUES, Queue, WakeUp};

/// How many wake-ups a slow listener may fall behind before it misses some.
const WAKE_UPS_KEPT: usize = 1024;

/// The bus of a platform that is one process.
pub struct EmbeddedBus {
    mailboxes: Vec<Arc<Mailbox>>,
    wake_ups: broadcast::Sender<Said>,
}

impl EmbeddedBus {
    /// A bus with every queue of the contracts, all empty.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mailboxes: QUEUES.iter().map(|queue| Arc::new(Mailbox::new(queue))).collect(),
            wake_ups: broadcast::Sender::new(WAKE_UPS_KEPT),
        }
    }

    /// Puts one message into every queue that takes it; each receiver hears of one commit.
    fn post(&self, message: &Outgoing) -> Vec<oneshot::Receiver<()>> {
        if let Address::Route {
            exchange,
            routing_key,
        } = &message.to
        {
            // No listener is no error: wake-ups are for who listens.
            let _ = self.wake_ups.send(Said {
                exchange: *exchange,
                routing_key: routing_key.as_str().into(),
                body: Arc::clone(&message.body),
            });
        }
        self.mailboxes
            .iter()
            .filter(|mailbox| match &message.to {
                Address::Route {
                    exchange,
                    routing_key,
                } => takes(mailbox.queue.bindings, *exchange, routing_key),
                Address::Queue(name) => mailbox.queue.name == name.as_ref(),
            })
            .map(|mailbox| {
                let (committed, hears) = oneshot::channel();
                mailbox.put(Parcel {
                    body: Arc::clone(&message.body),
                    committed,
                });
                hears
            })
            .collect()
    }
}

impl Default for EmbeddedBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn declare(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>> {
        // All is posted before anything is waited for: a subscriber takes the batch as one, and
        // a publish that is cancelled has still said everything.
        let posted: Vec<_> = batch.iter().map(|message| self.post(message)).collect();
        let mut results = Vec::with_capacity(posted.len());
        for commits in posted {
            let mut result = Ok(());
            for commit in commits {
                if commit.await.is_err() {
                    result = Err(BusError::NotTaken("the bus was taken down".to_owned()));
                }
            }
            results.push(result);
        }
        results
    }

    async fn consume(&self, queue: &'static Queue, side: Side) -> Result<Box<dyn Consumer>, BusError> {
        let mailbox = match side {
            Side::Main => self
                .mailboxes
                .iter()
                .find(|mailbox| mailbox.queue.name == queue.name)
                .cloned(),
            Side::Dead => None,
        };
        Ok(Box::new(EmbeddedConsumer { mailbox }))
    }

    async fn listen(&self, wake_up: &'static WakeUp) -> Result<Box<dyn Listener>, BusError> {
        Ok(Box::new(EmbeddedListener {
            wake_up,
            said: self.wake_ups.subscribe(),
            is_deaf: true,
        }))
    }

    async fn ready(&self) -> Result<(), BusError> {
        Ok(())
    }
}

fn takes(bindings: &[Binding], exchange: Exchange, routing_key: &str) -> bool {
    bindings
        .iter()
        .any(|binding| binding.exchange == exchange && binding.routing_key == routing_key)
}

/// A message in one queue, until that queue's consumer has committed it.
struct Parcel {
    body: Arc<[u8]>,
    committed: oneshot::Sender<()>,
}

/// One queue.
struct Mailbox {
    queue: &'static Queue,
    parcels: Mutex<VecDeque<Parcel>>,
    arrived: Notify,
}

impl Mailbox {
    fn new(queue: &'static Queue) -> Self {
        Self {
            queue,
            parcels: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    fn parcels(&self) -> MutexGuard<'_, VecDeque<Parcel>> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, parcel: Parcel) {
        self.parcels().push_back(parcel);
        self.arrived.notify_one();
    }

    fn put_back(&self, given_back: Vec<Parcel>) {
        let mut parcels = self.parcels();
        for parcel in given_back.into_iter().rev() {
            parcels.push_front(parcel);
        }
        drop(parcels);
        self.arrived.notify_one();
    }

    /// Takes what is there. One notification may stand for many parcels, so whoever leaves
    /// some behind wakes the next consumer.
    fn take(&self, max: usize) -> Vec<Parcel> {
        let mut parcels = self.parcels();
        let count = max.max(1).min(parcels.len());
        let taken: Vec<_> = parcels.drain(..count).collect();
        if !parcels.is_empty() {
            self.arrived.notify_one();
        }
        taken
    }
}

struct EmbeddedConsumer {
    /// None where nothing can ever come.
    mailbox: Option<Arc<Mailbox>>,
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next_batch(&mut self, max: usize) -> Delivery {
        let Some(mailbox) = &self.mailbox else {
            return std::future::pending().await;
        };
        loop {
            let taken = mailbox.take(max);
            if !taken.is_empty() {
                return Delivery {
                    messages: taken
                        .iter()
                        .map(|parcel| Incoming {
                            body: Arc::clone(&parcel.body),
                        })
                        .collect(),
                    receipt: Box::new(EmbeddedReceipt {
                        mailbox: Arc::clone(mailbox),
                        parcels: taken,
                    }),
                };
            }
            // A parcel put since `take` has left its permit here: none is slept through.
            mailbox.arrived.notified().await;
        }
    }
}

struct EmbeddedReceipt {
    mailbox: Arc<Mailbox>,
    parcels: Vec<Parcel>,
}

#[async_trait]
impl Receipt for EmbeddedReceipt {
    async fn acknowledge(mut self: Box<Self>) {
        for parcel in mem::take(&mut self.parcels) {
            // Who published may have gone; its outbox will say it again, and the inbox knows it.
            let _ = parcel.committed.send(());
        }
    }
}

impl Drop for EmbeddedReceipt {
    fn drop(&mut self) {
        let parcels = mem::take(&mut self.parcels);
        if !parcels.is_empty() {
            self.mailbox.put_back(parcels);
        }
    }
}

/// What was published, for listeners.
#[derive(Clone)]
struct Said {
    exchange: Exchange,
    routing_key: Arc<str>,
    body: Arc<[u8]>,
}

struct EmbeddedListener {
    wake_up: &'static WakeUp,
    said: broadcast::Receiver<Said>,
    /// As far as it has told.
    is_deaf: bool,
}

#[async_trait]
impl Listener for EmbeddedListener {
    async fn next(&mut self) -> Heard {
        if std::mem::take(&mut self.is_deaf) {
            return Heard::Listening;
        }
        loop {
            match self.said.recv().await {
                Ok(said) if takes(self.wake_up.bindings, said.exchange, &said.routing_key) => {
                    return Heard::Message(Incoming { body: said.body });
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.is_deaf = true;
                    return Heard::Deaf;
                }
                Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
            }
        }
    }
}

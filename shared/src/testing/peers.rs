//! The other services, played by the test: says what they would, hears what they would.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{PATIENCE, eventually};
use crate::{
    bus::{Address, Bus, Outgoing, Side},
    clock::{Clock, Instant},
    contracts::{Envelope, Message, QUEUES, ServiceName},
    ids::MessageId,
};

/// Everybody but the service under test.
pub struct Peers {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<HashMap<ServiceName, Vec<Envelope>>>>,
}

impl Peers {
    pub(super) fn new(bus: Arc<dyn Bus>, under_test: ServiceName, clock: Arc<dyn Clock>) -> Self {
        let heard: Arc<Mutex<HashMap<ServiceName, Vec<Envelope>>>> = Arc::default();
        for queue in QUEUES.iter().filter(|queue| queue.service != under_test) {
            let (bus, heard) = (Arc::clone(&bus), Arc::clone(&heard));
            tokio::spawn(async move {
                let mut consumer = bus.consume(queue, Side::Main).await.expect("a consumer");
                loop {
                    let delivery = consumer.next_batch(100).await;
                    for message in &delivery.messages {
                        let envelope = serde_json::from_slice(&message.body).expect("an envelope");
                        heard
                            .lock()
                            .unwrap()
                            .entry(queue.service)
                            .or_default()
                            .push(envelope);
                    }
                    delivery.acknowledge().await;
                }
            });
        }
        Self { bus, clock, heard }
    }

    /// Says `message` and returns when every subscriber has dealt with it.
    pub async fn say<M: Message>(&self, message: &M) {
        let envelope = self.seal(MessageId::new(self.clock.now()), message);
        self.deliver(&[envelope]).await;
    }

    /// `message` in an envelope with this id, to be delivered once or often.
    pub fn seal<M: Message>(&self, id: MessageId, message: &M) -> Envelope {
        Envelope::seal(id, "test", self.clock.now(), None, message).expect("an envelope")
    }

    /// The same for several of one kind, which then travel together.
    pub fn seal_all<M: Message>(&self, messages: &[M]) -> Vec<Envelope> {
        messages
            .iter()
            .map(|message| self.seal(MessageId::new(self.clock.now()), message))
            .collect()
    }

    /// Delivers envelopes together, and returns when every subscriber has dealt with them.
    pub async fn deliver(&self, envelopes: &[Envelope]) {
        let batch: Vec<_> = envelopes
            .iter()
            .map(|envelope| {
                let (exchange, routing_key) =
                    crate::contracts::route_of(&envelope.message_type).expect("a message of a contract");
                Outgoing {
                    id: envelope.id,
                    to: Address::Route {
                        exchange,
                        routing_key: routing_key.to_owned(),
                    },
                    body: serde_json::to_vec(envelope).expect("JSON").into(),
                }
            })
            .collect();
        let outcomes = tokio::time::timeout(PATIENCE, self.bus.publish(&batch))
            .await
            .expect("somebody takes it");
        for outcome in outcomes {
            outcome.expect("published");
        }
    }

    /// All of kind `M` that came to `service` so far.
    pub fn heard<M: Message>(&self, service: ServiceName) -> Vec<M> {
        self.envelopes::<M>(service)
            .iter()
            .map(|envelope| envelope.open().expect("a message of its type"))
            .collect()
    }

    /// The same with their envelopes.
    pub fn envelopes<M: Message>(&self, service: ServiceName) -> Vec<Envelope> {
        let heard = self.heard.lock().unwrap();
        heard
            .get(&service)
            .into_iter()
            .flatten()
            .filter(|envelope| envelope.message_type == M::TYPE)
            .cloned()
            .collect()
    }

    /// Waits until `service` has heard a message of kind `M` that `fits`.
    pub async fn hears<M: Message>(&self, service: ServiceName, fits: impl Fn(&M) -> bool) -> M {
        eventually(&format!("{service} hears {}", M::TYPE), || {
            let found = self.heard::<M>(service).into_iter().find(|message| fits(message));
            std::future::ready(found)
        })
        .await
    }

    /// The present instant of the service under test.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }
}

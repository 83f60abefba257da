//! Publishing with confirms: a message is safe when the broker says so, and not before.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    connection::{CONNECT_BOUND, Line, Link, LinkError},
    topology,
};
use crate::{
    bus::{Address, BusError, Outgoing},
    contracts::{QUEUES, is_subscribed},
    telemetry::metrics::{MESSAGES_RETURNED, NO_LABELS},
};

/// How long all confirms of a batch together may take.
const CONFIRM_BOUND: Duration = Duration::from_secs(5);

/// How many batches may be on their way at once.
const IN_FLIGHT: usize = 16;

/// After which pauses what no queue took is said again, the topology repaired before each time. In
/// the outbox it would wait for its lease to end, longer than the purchase it is about may take. The
/// pauses are for consumers whose queue is gone: it is theirs to make again.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(150),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// AMQP's "persistent".
const PERSISTENT: u8 = 2;

/// A confirm channel, used by one batch at a time.
///
/// Sharing one would lose messages: lapin numbers a message and sends it in two steps, so that
/// two tasks can confirm each other's; and it hands a returned message to whichever confirm
/// comes next. With the channel to itself a batch sees all its returns, and knows them by id.
struct Lane {
    link: Arc<Link>,
    channel: Channel,
}

impl Lane {
    fn is_alive(&self) -> bool {
        self.link.is_alive() && self.channel.status().connected()
    }
}

pub(super) struct Publisher {
    line: Arc<Line>,
    idle: Mutex<Vec<Lane>>,
    in_flight: Semaphore,
    /// How often something that must be taken was not: a binding or queue is gone from the broker.
    doubts: AtomicU64,
    /// How many of the doubts were there before the topology was last repaired. A number and not a
    /// flag, since one that arises while it is being repaired may be about what was repaired first.
    settled_doubts: AtomicU64,
}

impl Publisher {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            idle: Mutex::default(),
            in_flight: Semaphore::new(IN_FLIGHT),
            doubts: AtomicU64::new(0),
            settled_doubts: AtomicU64::new(0),
        }
    }

    pub(super) async fn declare(&self) -> Result<(), BusError> {
        let lane = self.lane().await?;
        bounded(&lane.link, topology::declare(&lane.channel)).await?;
        self.keep(lane);
        Ok(())
    }

    pub(super) async fn reassert(&self) -> Result<(), BusError> {
        let link = self.line.link().await?;
        Ok(repair(&link).await?)
    }

    pub(super) async fn ready(&self) -> Result<(), BusError> {
        if self.line.link().await?.is_blocked() {
            return Err(BusError::NotTaken(
                "the broker is out of memory or disk".to_owned(),
            ));
        }
        Ok(())
    }

    /// Publishes a batch; bounded by the time to connect and the time to confirm. A publish that
    /// is cancelled takes its channel with it, and disturbs nobody.
    pub(super) async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>> {
        if batch.is_empty() {
            return Vec::new();
        }
        let mut results = self.publish_once(batch).await;
        for pause in AGAIN {
            let returned: Vec<_> = (0..batch.len())
                .filter(|place| matches!(results[*place], Err(BusError::NoQueue)))
                .collect();
            if returned.is_empty() {
                break;
            }
            sleep(pause).await;
            let again: Vec<_> = returned.iter().map(|place| batch[*place].clone()).collect();
            for (place, result) in returned.into_iter().zip(self.publish_once(&again).await) {
                results[place] = result;
            }
        }
        results
    }

    async fn publish_once(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>> {
        let Ok(_permit) = self.in_flight.acquire().await else {
            return all(batch, || LinkError::GivenUp.into());
        };
        let lane = match self.lane().await {
            Ok(lane) => lane,
            Err(error) => return all(batch, || error.clone().into()),
        };
        let Ok(confirmations) = timeout(CONFIRM_BOUND, send(&lane.channel, batch)).await else {
            // Even what was confirmed is uncertain: a return may be lying on a confirm that
            // never came. All of it is said again; the inboxes know what they have.
            lane.link.mark_broken();
            return all(batch, || BusError::TimedOut);
        };
        if confirmations.iter().all(Result::is_ok) {
            self.keep(lane);
        } else {
            lane.link.mark_broken();
        }
        self.judge(batch, confirmations)
    }

    /// What the confirmations say about each message.
    fn judge(
        &self,
        batch: &[Outgoing],
        confirmations: Vec<Result<Confirmation, lapin::Error>>,
    ) -> Vec<Result<(), BusError>> {
        let mut returned = Vec::new();
        let mut results = Vec::with_capacity(batch.len());
        for confirmation in confirmations {
            results.push(match &confirmation {
                Ok(Confirmation::Ack(_)) => Ok(()),
                Ok(Confirmation::Nack(_)) => Err(BusError::NotTaken("the broker refused it".to_owned())),
                Ok(Confirmation::NotRequested) => Err(BusError::NotTaken("it was not confirmed".to_owned())),
                Err(error) => Err(LinkError::Broker(error.clone()).into()),
            });
            if let Ok(Some(message)) = confirmation.map(Confirmation::take_message) {
                returned.push(message.delivery.properties.message_id().clone());
            }
        }
        if returned.is_empty() {
            return results;
        }
        self.doubt();
        MESSAGES_RETURNED
            .counter(&NO_LABELS)
            .increment(returned.len() as u64);
        tracing::error!(
            messages = returned.len(),
            "no queue took a message: a binding or a queue is missing on the message broker; it is declared again"
        );
        for (message, result) in batch.iter().zip(&mut results) {
            let id = message.id.to_string();
            // A return that names nobody could be anybody's.
            if returned
                .iter()
                .any(|name| name.as_ref().is_none_or(|name| name.as_str() == id))
            {
                *result = Err(BusError::NoQueue);
            }
        }
        results
    }

    /// A confirm channel for one batch, with the topology in order; within [`CONNECT_BOUND`].
    async fn lane(&self) -> Result<Lane, LinkError> {
        let lane = loop {
            let idle = self.idle().pop();
            match idle {
                Some(lane) if lane.is_alive() => break lane,
                Some(_) => {}
                None => break self.open_lane().await?,
            }
        };
        let doubts = self.doubts.load(Ordering::Acquire);
        if self.settled_doubts.load(Ordering::Acquire) < doubts {
            repair(&lane.link).await?;
            self.settled_doubts.fetch_max(doubts, Ordering::AcqRel);
        }
        Ok(lane)
    }

    fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    async fn open_lane(&self) -> Result<Lane, LinkError> {
        let link = self.line.link().await?;
        let channel = bounded(&link, async {
            let channel = link.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        })
        .await?;
        Ok(Lane { link, channel })
    }

    fn keep(&self, lane: Lane) {
        self.idle().push(lane);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does something on a connection, which is broken if that fails or takes too long.
async fn bounded<T>(
    link: &Link,
    work: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, LinkError> {
    let result = match timeout(CONNECT_BOUND, work).await {
        Ok(result) => result.map_err(LinkError::from),
        Err(_) => Err(LinkError::TimedOut),
    };
    if result.is_err() {
        link.mark_broken();
    }
    result
}

async fn repair(link: &Link) -> Result<(), LinkError> {
    let exchanges = async {
        let channel = link.channel().await?;
        topology::declare_exchanges(&channel).await?;
        let _ = channel.close(200, "done".into()).await;
        Ok::<_, lapin::Error>(())
    };
    bounded(link, exchanges).await?;
    for queue in QUEUES {
        let repairing = async {
            let channel = link.channel().await?;
            if let Err(error) = topology::repair(&channel, queue).await {
                tracing::debug!(%error, queue = queue.name, "left to its consumers");
            }
            // Closed already if the queue is not there.
            let _ = channel.close(200, "done".into()).await;
            Ok::<_, lapin::Error>(())
        };
        bounded(link, repairing).await?;
    }
    Ok(())
}

/// Sends everything, then waits for every confirm.
async fn send(channel: &Channel, batch: &[Outgoing]) -> Vec<Result<Confirmation, lapin::Error>> {
    let sent = join_all(batch.iter().map(|message| send_one(channel, message))).await;
    let mut confirmations = Vec::with_capacity(sent.len());
    for confirm in sent {
        confirmations.push(match confirm {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        });
    }
    confirmations
}

async fn send_one(channel: &Channel, message: &Outgoing) -> Result<PublisherConfirm, lapin::Error> {
    // The default exchange leads to each queue by its name.
    let (exchange, key, mandatory) = match &message.to {
        Address::Route {
            exchange,
            routing_key,
        } => (
            exchange.as_str(),
            routing_key.as_str(),
            is_subscribed(*exchange, routing_key),
        ),
        Address::Queue(name) => ("", name.as_ref(), QUEUES.iter().any(|queue| queue.name == name)),
    };
    let options = BasicPublishOptions {
        // Without it the broker confirms what no queue took, and drops it.
        mandatory,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/cloudevents+json".into())
        .with_message_id(message.id.to_string().into());
    channel
        .basic_publish(exchange.into(), key.into(), options, &message.body, properties)
        .await
}

fn all(batch: &[Outgoing], error: impl Fn() -> BusError) -> Vec<Result<(), BusError>> {
    batch.iter().map(|_| Err(error())).collect()
}

//! The promises, as functions of a bus.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, future::join_all};
use shared::{
    bus::{Address, Bus, BusError, Consumer, Delivery, Heard, Incoming, Listener, Outgoing, Side},
    clock::{Clock, SystemClock},
    contracts::{
        Exchange, HoldPromocodeV1, Message, PurchasePaidV1, QUEUES, Queue, UserRegisteredV1, WAKE_UPS,
    },
    ids::MessageId,
};
use tokio::{task::JoinHandle, time::timeout};

/// No promise takes longer; what does is stuck.
const STUCK: Duration = Duration::from_secs(60);

pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(STUCK, work).await.expect("stuck")
}

/// A message of the kind `M`, whose body is its id.
pub fn message<M: Message>() -> Outgoing {
    outgoing(M::EXCHANGE, M::ROUTING_KEY)
}

pub fn outgoing(exchange: Exchange, routing_key: &str) -> Outgoing {
    let id = MessageId::new(SystemClock.now());
    Outgoing {
        id,
        to: Address::Route {
            exchange,
            routing_key: routing_key.to_owned(),
        },
        body: id.to_string().into_bytes().into(),
    }
}

pub fn messages<M: Message>(count: usize) -> Vec<Outgoing> {
    (0..count).map(|_| message::<M>()).collect()
}

pub fn ids(batch: &[Outgoing]) -> Vec<String> {
    batch.iter().map(|message| message.id.to_string()).collect()
}

pub fn bodies(delivery: &Delivery) -> Vec<String> {
    delivery
        .messages
        .iter()
        .map(|message| String::from_utf8_lossy(&message.body).into_owned())
        .collect()
}

pub fn queue(name: &str) -> &'static Queue {
    QUEUES.iter().find(|queue| queue.name == name).unwrap()
}

pub async fn consumer(bus: &Arc<dyn Bus>, name: &str) -> Box<dyn Consumer> {
    bus.consume(queue(name), Side::Main).await.unwrap()
}

/// Publishes in the background: a bus may confirm only after the consumers have committed.
pub fn publish(bus: &Arc<dyn Bus>, batch: &[Outgoing]) -> JoinHandle<Vec<Result<(), BusError>>> {
    let (bus, batch) = (Arc::clone(bus), batch.to_vec());
    tokio::spawn(async move { bus.publish(&batch).await })
}

pub async fn confirmed(publishing: JoinHandle<Vec<Result<(), BusError>>>) {
    for result in soon(publishing).await.unwrap() {
        result.unwrap();
    }
}

/// Takes and acknowledges until `count` messages have come.
pub async fn take(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let delivery = soon(consumer.next_batch(count - taken.len())).await;
        taken.extend(bodies(&delivery));
        delivery.acknowledge().await;
    }
    taken
}

pub async fn a_message_reaches_each_queue_that_takes_it_once_and_no_other(bus: Arc<dyn Bus>) {
    let mut loyalty = consumer(&bus, "loyalty.v1").await;
    let mut billing = consumer(&bus, "billing.v1").await;
    let mut notifications = consumer(&bus, "notifications.v1").await;

    // The last one goes to all, so what precedes it in a queue is all that this queue got.
    let hold = message::<HoldPromocodeV1>();
    let paid = message::<PurchasePaidV1>();
    let last = message::<UserRegisteredV1>();
    let batch = [hold.clone(), paid.clone(), last.clone()];
    let publishing = publish(&bus, &batch);

    assert_eq!(take(&mut loyalty, 3).await, ids(&batch));
    assert_eq!(take(&mut billing, 1).await, ids(std::slice::from_ref(&last)));
    assert_eq!(take(&mut notifications, 2).await, ids(&[paid, last]));
    confirmed(publishing).await;
}

/// The common promise: once confirmed, every subscriber has committed it or will still get it.
pub async fn a_confirmed_message_is_never_missed_by_a_subscriber(bus: Arc<dyn Bus>) {
    let batch = messages::<UserRegisteredV1>(1);
    let publishing = publish(&bus, &batch);
    let confirmed = async { confirmed(publishing).await };
    let taking = async {
        for queue in QUEUES {
            let mut consumer = bus.consume(queue, Side::Main).await.unwrap();
            assert_eq!(take(&mut consumer, 1).await, ids(&batch), "{}", queue.name);
        }
    };
    soon(futures::future::join(confirmed, taking)).await;
}

pub async fn an_unacknowledged_batch_comes_again(bus: Arc<dyn Bus>) {
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    let batch = messages::<HoldPromocodeV1>(3);
    let publishing = publish(&bus, &batch);

    let first = soon(consumer.next_batch(2)).await;
    let came = bodies(&first);
    drop(first);

    let mut all = take(&mut consumer, 3).await;
    assert!(came.iter().all(|body| all.contains(body)));
    all.sort();
    assert_eq!(all, ids(&batch));
    confirmed(publishing).await;
}

pub async fn a_newer_batch_does_not_acknowledge_an_older_one(bus: Arc<dyn Bus>) {
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    let batch = messages::<HoldPromocodeV1>(2);
    let publishing = publish(&bus, &batch);

    let older = soon(consumer.next_batch(1)).await;
    let newer = soon(consumer.next_batch(1)).await;
    newer.acknowledge().await;
    drop(older);

    assert_eq!(take(&mut consumer, 1).await, ids(&batch[..1]));
    confirmed(publishing).await;
}

pub async fn a_batch_is_what_is_there_and_no_more_than_it_may_be(bus: Arc<dyn Bus>) {
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    let batch = messages::<HoldPromocodeV1>(10);
    let publishing = publish(&bus, &batch);

    let mut sizes = Vec::new();
    let mut taken = Vec::new();
    while taken.len() < batch.len() {
        let delivery = soon(consumer.next_batch(4)).await;
        assert!((1..=4).contains(&delivery.messages.len()));
        sizes.push(delivery.messages.len());
        taken.extend(bodies(&delivery));
        delivery.acknowledge().await;
    }
    assert_eq!(taken, ids(&batch));
    confirmed(publishing).await;

    // One alone comes alone: nobody waits for company.
    let single = messages::<HoldPromocodeV1>(1);
    let publishing = publish(&bus, &single);
    assert_eq!(take_batch(&mut consumer, 100).await, ids(&single));
    confirmed(publishing).await;
}

async fn take_batch(consumer: &mut Box<dyn Consumer>, max: usize) -> Vec<String> {
    let delivery = soon(consumer.next_batch(max)).await;
    let taken = bodies(&delivery);
    delivery.acknowledge().await;
    taken
}

pub async fn a_waiting_consumer_is_woken(bus: Arc<dyn Bus>) {
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    let waiting = tokio::spawn(async move { take(&mut consumer, 1).await });
    tokio::task::yield_now().await;
    let batch = messages::<HoldPromocodeV1>(1);
    let publishing = publish(&bus, &batch);
    assert_eq!(soon(waiting).await.unwrap(), ids(&batch));
    confirmed(publishing).await;
}

pub async fn consumers_of_one_queue_share_its_messages(bus: Arc<dyn Bus>) {
    let mut one = consumer(&bus, "loyalty.v1").await;
    let mut other = consumer(&bus, "loyalty.v1").await;
    // Neither can take all: each holds what it has while the other takes.
    let mut batch = messages::<HoldPromocodeV1>(1);
    let publishing = publish(&bus, &batch);
    let held = soon(one.next_batch(1)).await;
    let taken = bodies(&held);
    let more = messages::<HoldPromocodeV1>(400);
    let publishing_more = publish(&bus, &more);
    let shared = soon(other.next_batch(1)).await;
    let mut seen = [taken, bodies(&shared)].concat();
    held.acknowledge().await;
    shared.acknowledge().await;

    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let tasks: Vec<_> = [one, other]
        .into_iter()
        .map(|mut consumer| {
            let sender = sender.clone();
            tokio::spawn(async move {
                loop {
                    let delivery = consumer.next_batch(16).await;
                    for body in bodies(&delivery) {
                        sender.send(body).unwrap();
                    }
                    delivery.acknowledge().await;
                }
            })
        })
        .collect();
    while seen.len() < 401 {
        seen.push(soon(receiver.recv()).await.unwrap());
    }
    confirmed(publishing).await;
    confirmed(publishing_more).await;
    tasks.iter().for_each(JoinHandle::abort);
    batch.extend(more);
    seen.sort();
    let mut expected = ids(&batch);
    expected.sort();
    assert_eq!(seen, expected);
}

pub async fn each_message_of_a_batch_has_its_result(bus: Arc<dyn Bus>) {
    let mut loyalty = consumer(&bus, "loyalty.v1").await;
    let batch = [
        outgoing(Exchange::LoyaltyEvents, "nobody.takes"),
        message::<HoldPromocodeV1>(),
        outgoing(Exchange::BillingEvents, "nobody.takes"),
    ];
    let publishing = publish(&bus, &batch);
    assert_eq!(take(&mut loyalty, 1).await, ids(&batch[1..2]));
    let results = soon(publishing).await.unwrap();
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(soon(bus.publish(&[])).await.is_empty());
}

pub async fn a_message_that_nobody_takes_is_fine(bus: Arc<dyn Bus>) {
    let batch = [outgoing(Exchange::AuthEvents, "nobody.takes")];
    confirmed(publish(&bus, &batch)).await;
}

/// The next message that it hears.
pub async fn hear(listener: &mut Box<dyn Listener>) -> Incoming {
    loop {
        if let Heard::Message(message) = listener.next().await {
            return message;
        }
    }
}

pub async fn a_listener_says_when_it_listens(bus: Arc<dyn Bus>) {
    let mut listener = bus.listen(&WAKE_UPS[0]).await.unwrap();
    assert_eq!(soon(listener.next()).await, Heard::Listening);
}

pub async fn every_listener_hears_for_itself(bus: Arc<dyn Bus>) {
    let mut one = bus.listen(&WAKE_UPS[0]).await.unwrap();
    let mut other = bus.listen(&WAKE_UPS[0]).await.unwrap();
    let batch = messages::<PurchasePaidV1>(1);
    let publishing = publish(&bus, &batch);
    for listener in [&mut one, &mut other] {
        assert_eq!(soon(hear(listener)).await.body, batch[0].body);
    }
    for name in ["loyalty.v1", "notifications.v1"] {
        assert_eq!(take(&mut consumer(&bus, name).await, 1).await, ids(&batch));
    }
    confirmed(publishing).await;
}

pub async fn a_listener_hears_only_what_it_listens_to(bus: Arc<dyn Bus>) {
    let mut listener = bus.listen(&WAKE_UPS[0]).await.unwrap();
    let batch = [message::<HoldPromocodeV1>(), message::<PurchasePaidV1>()];
    let publishing = publish(&bus, &batch);
    assert_eq!(soon(hear(&mut listener)).await.body, batch[1].body);
    take(&mut consumer(&bus, "loyalty.v1").await, 2).await;
    take(&mut consumer(&bus, "notifications.v1").await, 1).await;
    confirmed(publishing).await;
}

pub async fn a_cancelled_publish_disturbs_nobody(bus: Arc<dyn Bus>) {
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    soon(bus.declare()).await.unwrap();
    let given_up = messages::<HoldPromocodeV1>(5);
    // Polled once, then dropped in the middle of what it was doing.
    assert!(bus.publish(&given_up).now_or_never().is_none());

    // Its sender will say it again, as it does here.
    let again = publish(&bus, &given_up);
    let after = messages::<HoldPromocodeV1>(5);
    let expected: BTreeSet<String> = ids(&given_up).into_iter().chain(ids(&after)).collect();
    let publishing = publish(&bus, &after);
    let mut seen = BTreeSet::new();
    while seen != expected || !publishing.is_finished() || !again.is_finished() {
        // Long enough to subscribe on a busy machine: giving up would begin that anew.
        if let Ok(delivery) = timeout(Duration::from_secs(2), consumer.next_batch(16)).await {
            seen.extend(bodies(&delivery));
            delivery.acknowledge().await;
        }
    }
    confirmed(publishing).await;
    confirmed(again).await;
}

pub async fn a_thousand_concurrent_messages_all_arrive(bus: Arc<dyn Bus>) {
    let batches: Vec<_> = (0..100).map(|_| messages::<UserRegisteredV1>(10)).collect();
    let publishing: Vec<_> = batches.iter().map(|batch| publish(&bus, batch)).collect();
    let expected: BTreeSet<String> = batches.iter().flat_map(|batch| ids(batch)).collect();
    let taking = QUEUES.iter().map(|queue| {
        let bus = &bus;
        async move {
            let mut consumer = bus.consume(queue, Side::Main).await.unwrap();
            take(&mut consumer, 1000)
                .await
                .into_iter()
                .collect::<BTreeSet<_>>()
        }
    });
    for seen in join_all(taking).await {
        assert_eq!(seen, expected);
    }
    for publishing in publishing {
        confirmed(publishing).await;
    }
}

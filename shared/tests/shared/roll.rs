//! Roll calls over RabbitMQ: what the broker has confirmed and then lost arrives all the same, once.

use std::{
    collections::BTreeSet,
    sync::{self, Arc},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, EntityTrait as _, PaginatorTrait as _};
use shared::{
    bus::Bus,
    clock::{Clock as _, SystemClock},
    contracts::{
        Locale, MESSAGES as MESSAGES_THERE_ARE, Message, QUEUES, Queue, ServiceName, UserBlockedV1,
        UserState, UserStatus, UserUnblockedV1,
    },
    db::{Db, Tx},
    ids::UserId,
    inbox::{Handle, HandleError, Handlers, Receiver, Status},
    outbox::{self, Relay},
    telemetry::metrics,
    testing::eventually,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    TestDb,
    broker::{Vhost, with_vhost},
    messaging::{inbox_rows, report},
    postgres, sqlite,
};

const MESSAGES: usize = 5;
/// The bound of `docs/operation.md` for a message whose queue was lost.
const BOUND: Duration = Duration::from_secs(30);

/// What is counted is counted for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Remembers which users it has heard of, each time.
#[derive(Clone, Default)]
struct Heard(Arc<sync::Mutex<Vec<UserId>>>);

impl Heard {
    fn sorted(&self) -> Vec<UserId> {
        let mut heard = self.0.lock().unwrap().clone();
        heard.sort_unstable();
        heard
    }
}

#[async_trait]
impl Handle<UserBlockedV1> for Heard {
    async fn handle(&self, _: &Tx, messages: &[UserBlockedV1]) -> Result<(), HandleError> {
        self.0
            .lock()
            .unwrap()
            .extend(messages.iter().map(|message| message.0.user_id));
        Ok(())
    }
}

#[async_trait]
impl Handle<UserUnblockedV1> for Heard {
    async fn handle(&self, _: &Tx, _: &[UserUnblockedV1]) -> Result<(), HandleError> {
        Ok(())
    }
}

/// A subscriber that runs.
struct Subscriber {
    heard: Heard,
    test: TestDb,
}

impl Subscriber {
    fn start(test: TestDb, bus: Arc<dyn Bus>, queue: &'static Queue, stop: &CancellationToken) -> Self {
        let heard = Heard::default();
        let handlers = Handlers::new()
            .on::<UserBlockedV1>(heard.clone())
            .on::<UserUnblockedV1>(heard.clone());
        let receiver = Receiver::new(test.db.clone(), bus, queue, Arc::new(handlers));
        tokio::spawn(receiver.run(stop.clone()));
        Self { heard, test }
    }
}

fn queue_of(service: ServiceName) -> &'static Queue {
    QUEUES.iter().find(|queue| queue.service == service).unwrap()
}

async fn say(db: &Db) -> UserId {
    let now = SystemClock.now();
    let state = UserState {
        user_id: UserId::new(now),
        version: 2,
        status: UserStatus::Blocked,
        locale: Locale::En,
        registered_at: now,
        time_zone: None,
    };
    let message = &UserBlockedV1(state.clone());
    db.write(|tx| async move { tx.emit(message) }).await.unwrap();
    state.user_id
}

async fn say_some(db: &Db) -> Vec<UserId> {
    let mut said = Vec::new();
    for _ in 0..MESSAGES {
        said.push(say(db).await);
    }
    said
}

async fn until(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(bound, waiting)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}

async fn is_published(db: &Db) {
    eventually("everything is published", || async {
        (outbox::count(db.reader()).await.unwrap() == 0).then_some(())
    })
    .await;
}

/// Each subscriber has `said`, once, and the outbox keeps nothing of it any longer.
async fn arrives_everywhere(sender: &Db, said: &[UserId], subscribers: &[Subscriber]) {
    for subscriber in subscribers {
        until("it arrives", BOUND, async || {
            subscriber.heard.sorted().len() >= said.len()
        })
        .await;
    }
    until("it is forgotten", BOUND, async || {
        outbox::entity::Entity::find()
            .all(sender.reader())
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    for subscriber in subscribers {
        assert_eq!(subscriber.heard.sorted(), said);
        let rows = inbox_rows(&subscriber.test.db).await;
        assert!(rows.iter().all(|row| row.status == Status::Done), "{rows:?}");
    }
}

fn missed() -> f64 {
    metrics::render()
        .lines()
        .filter(|line| line.starts_with("kopeck_messages_missed_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// A sender, and one database a subscriber.
async fn of_each_kind() -> [(TestDb, Vec<TestDb>); 2] {
    [
        (
            sqlite().await,
            vec![sqlite().await, sqlite().await, sqlite().await],
        ),
        (
            postgres().await,
            vec![postgres().await, postgres().await, postgres().await],
        ),
    ]
}

const SUBSCRIBERS: [ServiceName; 3] = [
    ServiceName::Loyalty,
    ServiceName::Billing,
    ServiceName::Notifications,
];

async fn unbind<M: Message>(vhost: &Vhost, queue: &str) {
    let (exchange, key) = (M::EXCHANGE.as_str(), M::ROUTING_KEY);
    vhost
        .delete(&format!("bindings/{}/e/{exchange}/q/{queue}/{key}", vhost.name))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_missing_binding_loses_arrives_once() {
    let _turn = ONE_AT_A_TIME.lock().await;
    metrics::install();
    for (sender, databases) in of_each_kind().await {
        with_vhost(async |vhost| {
            let (bus, stop) = (vhost.bus(), CancellationToken::new());
            bus.declare().await.unwrap();
            let subscribers: Vec<_> = SUBSCRIBERS
                .into_iter()
                .zip(databases)
                .map(|(service, test)| Subscriber::start(test, Arc::clone(&bus), queue_of(service), &stop))
                .collect();
            let relay = Relay::new(sender.db.clone(), Arc::clone(&bus), sender.committed);
            tokio::spawn(relay.run(stop.clone()));

            // Nothing is missing, and nothing is published twice.
            let before = missed();
            let mut said = say_some(&sender.db).await;
            arrives_everywhere(&sender.db, &said, &subscribers).await;
            assert_eq!(missed(), before);

            // Nothing declares it again here.
            unbind::<UserBlockedV1>(vhost, queue_of(ServiceName::Notifications).name).await;
            said.extend(say_some(&sender.db).await);
            is_published(&sender.db).await;
            let lost = outbox::count_unacknowledged(sender.db.reader()).await.unwrap();
            assert!(lost >= MESSAGES as u64, "{lost} are kept");
            arrives_everywhere(&sender.db, &said, &subscribers).await;
            assert!(missed() > before, "a loss is counted");
            stop.cancel();
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_queue_held_arrives_once_its_subscriber_is_there() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let [on_sqlite, on_postgres] = of_each_kind().await;
    tokio::join!(a_deleted_queue(on_sqlite), a_deleted_queue(on_postgres));
}

async fn a_deleted_queue((sender, mut databases): (TestDb, Vec<TestDb>)) {
    with_vhost(async |vhost| {
        let (bus, stop) = (vhost.bus(), CancellationToken::new());
        bus.declare().await.unwrap();
        let last = databases.pop().unwrap();
        let mut subscribers: Vec<_> = SUBSCRIBERS
            .into_iter()
            .zip(databases)
            .map(|(service, test)| Subscriber::start(test, Arc::clone(&bus), queue_of(service), &stop))
            .collect();
        let relay = Relay::new(sender.db.clone(), Arc::clone(&bus), sender.committed);
        tokio::spawn(relay.run(stop.clone()));

        let said = say_some(&sender.db).await;
        is_published(&sender.db).await;
        // The others have all of it, and are not asked for it any more.
        until("only one lacks it", BOUND, async || {
            let rows = outbox::entity::Entity::find()
                .all(sender.db.reader())
                .await
                .unwrap();
            rows.iter()
                .all(|row| row.awaiting == Some(ServiceName::Notifications.bit()))
        })
        .await;
        assert_eq!(
            outbox::count_unacknowledged(sender.db.reader()).await.unwrap(),
            MESSAGES as u64
        );

        let queue = queue_of(ServiceName::Notifications);
        vhost
            .delete(&format!("queues/{}/{}", vhost.name, queue.name))
            .await;
        subscribers.push(Subscriber::start(last, Arc::clone(&bus), queue, &stop));
        arrives_everywhere(&sender.db, &said, &subscribers).await;
        stop.cancel();
    })
    .await;
}

mod full {
    use super::*;

    /// Of every kind in the table, whatever its handler would make of it: a message that arrived is in the inbox.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_event_arrives_whichever_queue_has_lost_its_bindings() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let (sender, loyalty, billing, notifications) = (
            postgres().await,
            postgres().await,
            postgres().await,
            postgres().await,
        );
        let databases = [loyalty, billing, notifications];
        with_vhost(async |vhost| {
            let (bus, stop) = (vhost.bus(), CancellationToken::new());
            bus.declare().await.unwrap();
            let subscribers: Vec<_> = SUBSCRIBERS
                .into_iter()
                .zip(databases)
                .map(|(service, test)| Subscriber::start(test, Arc::clone(&bus), queue_of(service), &stop))
                .collect();
            let relay = Relay::new(sender.db.clone(), Arc::clone(&bus), sender.committed);
            tokio::spawn(relay.run(stop.clone()));

            let mut said = Vec::new();
            for queue in QUEUES {
                for binding in queue.bindings {
                    let (exchange, key) = (binding.exchange.as_str(), binding.routing_key);
                    let path = format!("bindings/{}/e/{exchange}/q/{}/{key}", vhost.name, queue.name);
                    vhost.delete(&path).await;
                }
                for message in MESSAGES_THERE_ARE {
                    let (mut envelope, _) = report();
                    envelope.message_type = message.message_type.to_owned();
                    let row = outbox::entity::ActiveModel {
                        id: Set(envelope.id),
                        body: Set(serde_json::to_string(&envelope).unwrap()),
                        created_at: Set(envelope.time),
                        leased_until: Set(envelope.time),
                        ..Default::default()
                    };
                    outbox::entity::Entity::insert(row)
                        .exec(sender.db.writer())
                        .await
                        .unwrap();
                    said.push((envelope.id, message));
                }
                until("all is forgotten", BOUND, async || {
                    let rows = outbox::entity::Entity::find().count(sender.db.reader()).await;
                    rows.unwrap() == 0
                })
                .await;
            }
            for (subscriber, service) in subscribers.iter().zip(SUBSCRIBERS) {
                let queue = queue_of(service);
                let arrived: BTreeSet<_> = inbox_rows(&subscriber.test.db)
                    .await
                    .into_iter()
                    .map(|row| row.id)
                    .collect();
                let expected: BTreeSet<_> = said
                    .iter()
                    .filter(|(_, message)| queue.takes(message.exchange, message.routing_key))
                    .map(|(id, _)| *id)
                    .collect();
                assert_eq!(arrived, expected, "{service}");
            }
            stop.cancel();
        })
        .await;
    }
}

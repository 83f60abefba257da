//! The relay when things go badly: too much to say, a bus that panics, a bus that never answers, an
//! outbox that does not forget.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, TransactionTrait as _};
use shared::{
    bus::{Bus, BusError, Consumer, Listener, Outgoing, Side},
    clock::{Clock as _, Instant, ManualClock, SystemClock},
    contracts::{Queue, ReportPurchaseV1, WakeUp},
    db::Db,
    ids::{MessageId, PurchaseId},
    outbox::{self, Relay},
    testing::eventually,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    messaging::{Receiving, report},
    open, postgres, postgres_at, sqlite, sqlite_at,
};

/// How a bus treats what is published.
enum Mood {
    Takes,
    PanicsOnce,
    NeverAnswers,
    /// Takes it, and has the relay stop before it hears of that.
    Stops(CancellationToken),
    PassesOn(Arc<dyn Bus>),
}

struct MoodyBus {
    mood: Mood,
    batches: AtomicUsize,
    published: Mutex<HashMap<MessageId, usize>>,
}

impl MoodyBus {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood,
            batches: AtomicUsize::new(0),
            published: Mutex::default(),
        })
    }

    fn times(&self, id: MessageId) -> usize {
        self.published.lock().unwrap().get(&id).copied().unwrap_or(0)
    }

    async fn publishes(&self, id: MessageId) {
        eventually("it is published", || {
            std::future::ready((self.times(id) > 0).then_some(()))
        })
        .await;
    }
}

#[async_trait]
impl Bus for MoodyBus {
    async fn declare(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>> {
        let number = self.batches.fetch_add(1, Ordering::SeqCst);
        match &self.mood {
            Mood::PanicsOnce if number == 0 => panic!("a bad day"),
            Mood::NeverAnswers => pending().await,
            Mood::Stops(stop) => stop.cancel(),
            _ => {}
        }
        for message in batch {
            *self.published.lock().unwrap().entry(message.id).or_default() += 1;
        }
        match &self.mood {
            Mood::PassesOn(bus) => bus.publish(batch).await,
            _ => batch.iter().map(|_| Ok(())).collect(),
        }
    }

    async fn consume(&self, _: &'static Queue, _: Side) -> Result<Box<dyn Consumer>, BusError> {
        pending().await
    }

    async fn listen(&self, _: &'static WakeUp) -> Result<Box<dyn Listener>, BusError> {
        pending().await
    }

    async fn ready(&self) -> Result<(), BusError> {
        Ok(())
    }
}

async fn say(db: &Db) -> MessageId {
    let purchase_id = PurchaseId::new(db.now());
    db.write(|tx| async move { tx.emit(&ReportPurchaseV1 { purchase_id }) })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_behind_is_sent_also_when_there_is_always_something_new() {
    let test = sqlite().await;
    let left_behind = say(&test.db).await;
    let bus = MoodyBus::new(Mood::Takes);
    let (hand_over, committed) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let relay = Relay::new(test.db.clone(), Arc::clone(&bus) as Arc<dyn Bus>, committed);
    let running = tokio::spawn(relay.run(stop.clone()));
    let envelope = report().0;
    // Always the same, which is published again and again: what matters is that it never ends.
    let load = tokio::spawn(async move { while hand_over.send(vec![envelope.clone()]).await.is_ok() {} });
    bus.publishes(left_behind).await;
    stop.cancel();
    load.abort();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .expect("it stops")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_publishing_panicked_is_sent_again() {
    let test = sqlite().await;
    let bus = MoodyBus::new(Mood::PanicsOnce);
    let stop = CancellationToken::new();
    let relay = Relay::new(test.db.clone(), Arc::clone(&bus) as Arc<dyn Bus>, test.committed);
    let running = tokio::spawn(relay.run(stop.clone()));
    let message = say(&test.db).await;
    bus.publishes(message).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_never_answers_does_not_keep_the_relay_from_stopping() {
    let test = sqlite().await;
    let bus = MoodyBus::new(Mood::NeverAnswers);
    let (hand_over, committed) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let relay = Relay::new(test.db.clone(), Arc::clone(&bus) as Arc<dyn Bus>, committed);
    let running = tokio::spawn(relay.run(stop.clone()));
    // Until there is no room on the way any more, and nobody takes what is handed over.
    while let Ok(sent) = tokio::time::timeout(
        Duration::from_millis(500),
        hand_over.send((0..256).map(|_| report().0).collect()),
    )
    .await
    {
        sent.unwrap();
    }
    assert!(bus.batches.load(Ordering::SeqCst) > 1);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(6), running)
        .await
        .expect("it stops")
        .unwrap();
}

async fn by_hand(db: &Db, sql: &str) {
    db.writer().execute_unprepared(sql).await.unwrap();
}

async fn is_empty(db: &Db) {
    eventually("the outbox is empty", || async {
        (outbox::count(db.reader()).await.unwrap() == 0).then_some(())
    })
    .await;
}

/// Until when some poller has `message` in hand.
async fn leased_until(db: &Db, message: MessageId) -> Instant {
    let row = outbox::entity::Entity::find_by_id(message).one(db.reader()).await;
    row.unwrap().expect("it is in the outbox").leased_until
}

#[tokio::test]
async fn a_relay_that_stops_forgets_what_was_confirmed_a_moment_before() {
    for test in [sqlite().await, postgres().await] {
        let stop = CancellationToken::new();
        let bus = MoodyBus::new(Mood::Stops(stop.clone()));
        let relay = Relay::new(test.db.clone(), Arc::clone(&bus) as Arc<dyn Bus>, test.committed);
        let message = say(&test.db).await;
        tokio::time::timeout(Duration::from_secs(10), relay.run(stop))
            .await
            .expect("it stops");
        assert_eq!(bus.times(message), 1);
        assert_eq!(outbox::count(test.db.reader()).await.unwrap(), 0);
    }
}

/// On PostgreSQL, where others read while somebody deletes.
#[tokio::test]
async fn what_is_confirmed_and_not_yet_forgotten_is_not_published_again() {
    let clock = ManualClock::at(SystemClock.now());
    let test = postgres_at(Arc::new(clock.clone())).await;
    by_hand(
        &test.db,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$; \
         CREATE TRIGGER wait BEFORE DELETE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION wait()",
    )
    .await;
    let (other, _) = open(&test.url).await;
    let held = other.writer().begin().await.unwrap();
    held.execute_unprepared("SELECT pg_advisory_xact_lock(1)")
        .await
        .unwrap();

    let bus = MoodyBus::new(Mood::Takes);
    let stop = CancellationToken::new();
    let relay = Relay::new(test.db.clone(), Arc::clone(&bus) as Arc<dyn Bus>, test.committed);
    let running = tokio::spawn(relay.run(stop.clone()));
    let message = say(&test.db).await;
    bus.publishes(message).await;
    // Nobody has forgotten it in time: the poller finds it, twice, so that it is done with it once.
    for _ in 0..2 {
        clock.advance(chrono::Duration::seconds(10));
        eventually("the poller has looked", || async {
            (leased_until(&test.db, message).await > clock.now()).then_some(())
        })
        .await;
    }
    held.commit().await.unwrap();
    is_empty(&test.db).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(bus.times(message), 1);
}

/// Refuses to forget anything, until [`forgets_again`].
async fn forgets_nothing(db: &Db) {
    let sql = match db.writer().get_database_backend() {
        DbBackend::Sqlite => {
            "CREATE TRIGGER refuse BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'not now'); END"
        }
        _ => {
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'not now'; END $$; \
             CREATE TRIGGER refuse BEFORE DELETE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        }
    };
    by_hand(db, sql).await;
}

async fn forgets_again(db: &Db) {
    let sql = match db.writer().get_database_backend() {
        DbBackend::Sqlite => "DROP TRIGGER refuse",
        _ => "DROP TRIGGER refuse ON outbox",
    };
    by_hand(db, sql).await;
}

#[tokio::test]
async fn what_could_not_be_forgotten_travels_again_and_is_applied_once() {
    let clock = ManualClock::at(SystemClock.now());
    let (on_sqlite, on_postgres) = (
        sqlite_at(Arc::new(clock.clone())).await,
        postgres_at(Arc::new(clock.clone())).await,
    );
    for (sender, receiver) in [(on_sqlite, sqlite().await), (on_postgres, postgres().await)] {
        let receiving = Receiving::start(&receiver);
        let bus = MoodyBus::new(Mood::PassesOn(Arc::clone(&receiving.bus)));
        forgets_nothing(&sender.db).await;
        let stop = CancellationToken::new();
        let relay = Relay::new(
            sender.db.clone(),
            Arc::clone(&bus) as Arc<dyn Bus>,
            sender.committed,
        );
        let running = tokio::spawn(relay.run(stop.clone()));
        let message = say(&sender.db).await;
        bus.publishes(message).await;
        for times in 2..=3 {
            // Each time nobody has it in hand any more, although forgetting it failed.
            eventually("it travels again", || async {
                clock.advance(chrono::Duration::seconds(10));
                (bus.times(message) >= times).then_some(())
            })
            .await;
        }
        forgets_again(&sender.db).await;
        eventually("it travels once more and is forgotten", || async {
            clock.advance(chrono::Duration::seconds(10));
            (outbox::count(sender.db.reader()).await.unwrap() == 0).then_some(())
        })
        .await;
        // Nothing else is stuck.
        let next = say(&sender.db).await;
        bus.publishes(next).await;
        is_empty(&sender.db).await;
        stop.cancel();
        running.await.unwrap();
        assert_eq!(receiving.recorder.applied().len(), 2);
        assert_eq!(bus.times(next), 1);
    }
}

//! What goes wrong while messages are applied costs nobody but the message that it belongs to.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chrono::Duration;
use sea_orm::{ActiveValue::Set, ConnectionTrait as _, EntityTrait as _};
use shared::{
    bus::{Bus, BusError, Consumer, Delivery, Listener, Outgoing, Side, embedded::EmbeddedBus},
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{Envelope, Queue, ReportPurchaseV1, WakeUp},
    db::{Db, Tx},
    host::Job as _,
    ids::{MessageId, PurchaseId},
    inbox::{self, ForgetInbox, Handle, HandleError, Handlers, Receiver, RetryInbox, Status},
    testing::PATIENCE,
};
use tokio_util::sync::CancellationToken;

use crate::{
    TestDb,
    messaging::{billing_queue, inbox_rows, outgoing, report},
    postgres, postgres_at, sqlite, sqlite_at,
    traces::Log,
};

/// What becomes of a purchase's report.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    Panic,
    /// PostgreSQL answers with this SQLSTATE.
    Raise(&'static str),
    /// The same, in an error of the service's own.
    RaiseWrapped(&'static str),
    Refuse(&'static str),
    /// Applied, and something is said about another purchase.
    SpeakOfAnother,
}

/// Applies reports, but for those with a fate.
#[derive(Clone, Default)]
pub(crate) struct Fateful {
    fates: Arc<Mutex<HashMap<PurchaseId, Fate>>>,
    applied: Arc<Mutex<Vec<PurchaseId>>>,
}

#[async_trait]
impl Handle<ReportPurchaseV1> for Fateful {
    async fn handle(&self, tx: &Tx, messages: &[ReportPurchaseV1]) -> Result<(), HandleError> {
        for message in messages {
            let fate = self.fates.lock().unwrap().get(&message.purchase_id).copied();
            match fate {
                Some(Fate::Panic) => panic!("this one is too much"),
                Some(Fate::Raise(code)) => raise(tx, code).await?,
                Some(Fate::RaiseWrapped(code)) => raise(tx, code).await.map_err(HandleError::rule)?,
                Some(Fate::Refuse(why)) => return Err(HandleError::rule(why)),
                Some(Fate::SpeakOfAnother) => {
                    let purchase_id = PurchaseId::new(tx.now());
                    tx.emit(&ReportPurchaseV1 { purchase_id })?;
                }
                None => {}
            }
        }
        self.applied
            .lock()
            .unwrap()
            .extend(messages.iter().map(|message| message.purchase_id));
        Ok(())
    }
}

async fn raise(tx: &Tx, code: &str) -> Result<(), sea_orm::DbErr> {
    let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '{code}'; END $$");
    tx.conn().execute_unprepared(&sql).await.map(drop)
}

impl Fateful {
    pub(crate) fn doom(&self, purchase: PurchaseId, fate: Fate) {
        self.fates.lock().unwrap().insert(purchase, fate);
    }

    pub(crate) fn applied(&self) -> Vec<PurchaseId> {
        self.applied.lock().unwrap().clone()
    }

    fn handlers(&self) -> Arc<Handlers> {
        Arc::new(Handlers::new().on::<ReportPurchaseV1>(self.clone()))
    }
}

/// A receiver that runs.
pub(crate) struct Running {
    bus: Arc<dyn Bus>,
    pub(crate) handler: Fateful,
    pub(crate) retry: RetryInbox,
    stop: CancellationToken,
}

impl Running {
    pub(crate) fn start(test: &TestDb) -> Self {
        Self::start_on(Arc::new(EmbeddedBus::new()), test)
    }

    fn start_on(bus: Arc<dyn Bus>, test: &TestDb) -> Self {
        let handler = Fateful::default();
        let stop = CancellationToken::new();
        let receiver = Receiver::new(
            test.db.clone(),
            Arc::clone(&bus),
            billing_queue(),
            handler.handlers(),
        );
        tokio::spawn(receiver.run(stop.clone()));
        Self {
            bus,
            retry: RetryInbox::new(test.db.clone(), handler.handlers()),
            handler,
            stop,
        }
    }

    /// Delivers `batch` and waits until the receiver has dealt with it.
    pub(crate) async fn deliver(&self, batch: &[Outgoing]) {
        let outcomes = tokio::time::timeout(PATIENCE, self.bus.publish(batch))
            .await
            .expect("the receiver deals with the batch");
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    }

    /// Delivers a bad message between two good ones, then a good one; what is kept of the bad.
    async fn deliver_among_good_ones(&self, db: &Db, fate: Fate) -> inbox::entity::Model {
        let good = [report(), report(), report()];
        let bad = report();
        self.handler.doom(bad.1, fate);
        self.deliver(&[outgoing(&good[0].0), outgoing(&bad.0), outgoing(&good[1].0)])
            .await;
        self.deliver(&[outgoing(&good[2].0)]).await;
        for (_, purchase) in &good {
            assert!(self.handler.applied().contains(purchase));
        }
        row(db, bad.0.id).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn row(db: &Db, id: MessageId) -> inbox::entity::Model {
    inbox_rows(db).await.into_iter().find(|row| row.id == id).unwrap()
}

/// Puts a message into the inbox that is to be tried again now.
pub(crate) async fn keep_for_retry(db: &Db, envelope: &Envelope, due: shared::clock::Instant) {
    let row = inbox::entity::ActiveModel {
        id: Set(envelope.id),
        status: Set(Status::Retry),
        received_at: Set(due),
        attempts: Set(1),
        next_attempt_at: Set(Some(due)),
        error: Set(Some("it failed".to_owned())),
        body: Set(Some(serde_json::to_string(envelope).unwrap())),
    };
    inbox::entity::Entity::insert(row)
        .exec_without_returning(db.writer())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_fails_one_message_and_stops_nothing() {
    let clock = ManualClock::at(SystemClock.now());
    for test in [
        sqlite_at(Arc::new(clock.clone())).await,
        postgres_at(Arc::new(clock.clone())).await,
    ] {
        let running = Running::start(&test);
        let kept = running.deliver_among_good_ones(&test.db, Fate::Panic).await;
        assert_eq!(kept.status, Status::Retry);
        assert!(kept.error.unwrap().contains("this one is too much"));
        for _ in 0..20 {
            clock.advance(Duration::minutes(10));
            running.retry.run().await.unwrap();
        }
        let kept = row(&test.db, kept.id).await;
        assert_eq!(kept.status, Status::Parked);
        assert!(kept.error.unwrap().contains("this one is too much"));
    }
}

/// A bus whose consumer panics the first time that it hands something over.
#[derive(Default)]
struct Fragile {
    bus: EmbeddedBus,
    broken: Arc<AtomicBool>,
}

struct FragileConsumer(Box<dyn Consumer>, Arc<AtomicBool>);

#[async_trait]
impl Consumer for FragileConsumer {
    async fn next_batch(&mut self, max: usize) -> Delivery {
        let delivery = self.0.next_batch(max).await;
        assert!(self.1.swap(true, Ordering::SeqCst), "it is fragile");
        delivery
    }
}

#[async_trait]
impl Bus for Fragile {
    async fn declare(&self) -> Result<(), BusError> {
        self.bus.declare().await
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>> {
        self.bus.publish(batch).await
    }

    async fn consume(&self, queue: &'static Queue, side: Side) -> Result<Box<dyn Consumer>, BusError> {
        let consumer = self.bus.consume(queue, side).await?;
        Ok(Box::new(FragileConsumer(consumer, Arc::clone(&self.broken))))
    }

    async fn listen(&self, wake_up: &'static WakeUp) -> Result<Box<dyn Listener>, BusError> {
        self.bus.listen(wake_up).await
    }

    async fn ready(&self) -> Result<(), BusError> {
        self.bus.ready().await
    }
}

#[tokio::test]
async fn a_panic_beside_the_handlers_ends_no_queue() {
    let test = sqlite().await;
    let running = Running::start_on(Arc::new(Fragile::default()), &test);
    let (envelope, purchase) = report();
    running.deliver(&[outgoing(&envelope)]).await;
    assert_eq!(running.handler.applied(), [purchase]);
}

#[tokio::test]
async fn a_message_that_always_takes_too_long_fails_alone() {
    let test = postgres().await;
    let running = Running::start(&test);
    for code in ["57014", "55P03"] {
        for fate in [Fate::Raise(code), Fate::RaiseWrapped(code)] {
            let kept = running.deliver_among_good_ones(&test.db, fate).await;
            assert_eq!(kept.status, Status::Retry, "{code}");
        }
    }
}

#[tokio::test]
async fn what_looks_like_an_outage_while_the_database_answers_fails_alone() {
    let test = postgres().await;
    let running = Running::start(&test);
    let (bad, good) = (report(), report());
    running.handler.doom(bad.1, Fate::RaiseWrapped("53200"));
    running.deliver(&[outgoing(&bad.0)]).await;
    let kept = row(&test.db, bad.0.id).await;
    assert_eq!(kept.status, Status::Retry);
    running.deliver(&[outgoing(&good.0)]).await;
    assert!(running.handler.applied().contains(&good.1));
}

#[tokio::test]
async fn a_retry_that_looks_like_an_outage_lets_the_others_have_their_turn() {
    let test = postgres().await;
    let running = Running::start(&test);
    for fate in [Fate::Raise("57P01"), Fate::RaiseWrapped("53200")] {
        let (bad, good) = (report(), report());
        running.handler.doom(bad.1, fate);
        let due = test.db.now() - Duration::minutes(1);
        keep_for_retry(&test.db, &bad.0, due - Duration::minutes(1)).await;
        keep_for_retry(&test.db, &good.0, due).await;
        running.retry.run().await.unwrap();
        assert!(running.handler.applied().contains(&good.1));
        let kept = row(&test.db, bad.0.id).await;
        assert_eq!(kept.status, Status::Retry);
        assert!(kept.next_attempt_at.unwrap() > test.db.now() - Duration::seconds(30));
    }
}

/// The commit itself refuses: not only the handler can fail a message.
#[tokio::test]
async fn a_retry_whose_commit_fails_is_counted_and_not_logged_as_applied() {
    let test = postgres().await;
    let log = Log::listen();
    let running = Running::start(&test);
    let (bad, good) = (report(), report());
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON inbox DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW WHEN (NEW.id = '{}' AND NEW.status = 'done') EXECUTE FUNCTION refuse();",
        bad.0.id
    );
    test.db.writer().execute_unprepared(&sql).await.unwrap();
    let due = test.db.now() - Duration::minutes(1);
    keep_for_retry(&test.db, &bad.0, due - Duration::minutes(1)).await;
    keep_for_retry(&test.db, &good.0, due).await;
    running.retry.run().await.unwrap();
    let kept = row(&test.db, bad.0.id).await;
    assert_eq!((kept.status, kept.attempts), (Status::Retry, 2));
    assert_eq!(row(&test.db, good.0.id).await.status, Status::Done);
    assert_eq!(log.count(bad.0.id, "applied"), 0);
    assert_eq!(log.count(good.0.id, "applied"), 1);
}

#[tokio::test]
async fn an_error_of_any_text_and_length_can_be_kept() {
    let clock = ManualClock::at(SystemClock.now());
    let why: &'static str = Box::leak(format!("a NUL: \0, {}", "é".repeat(100_000)).into_boxed_str());
    for test in [
        sqlite_at(Arc::new(clock.clone())).await,
        postgres_at(Arc::new(clock.clone())).await,
    ] {
        let running = Running::start(&test);
        let kept = running.deliver_among_good_ones(&test.db, Fate::Refuse(why)).await;
        assert_kept(&kept, 1);
        clock.advance(Duration::minutes(10));
        running.retry.run().await.unwrap();
        assert_kept(&row(&test.db, kept.id).await, 2);

        let (mut stranger, _) = report();
        stranger.message_type = "a NUL: \0".to_owned();
        let stranger = Outgoing {
            body: serde_json::to_vec(&stranger).unwrap().into(),
            ..outgoing(&report().0)
        };
        running.deliver(&[stranger]).await;
        assert_eq!(inbox::parked(test.db.reader(), 10).await.unwrap().len(), 1);
    }
}

fn assert_kept(row: &inbox::entity::Model, attempts: i32) {
    let error = row.error.as_deref().unwrap();
    assert!(error.contains("a NUL: \u{fffd}"), "{error}");
    assert!(error.len() <= 4_096, "{} bytes", error.len());
    assert_eq!((row.status, row.attempts), (Status::Retry, attempts));
}

#[tokio::test]
async fn one_run_of_the_retry_is_bounded() {
    let test = sqlite().await;
    let running = Running::start(&test);
    let due = test.db.now() - Duration::minutes(1);
    for _ in 0..150 {
        keep_for_retry(&test.db, &report().0, due).await;
    }
    running.retry.run().await.unwrap();
    let applied = running.handler.applied().len();
    assert!((1..150).contains(&applied), "{applied} were tried in one run");
    running.retry.run().await.unwrap();
    assert_eq!(running.handler.applied().len(), 150);
}

/// A sender that was off for longer than the inbox remembers says its outbox again at its start.
#[tokio::test]
async fn nothing_is_forgotten_in_the_first_hour() {
    let clock = ManualClock::at(SystemClock.now());
    for test in [
        sqlite_at(Arc::new(clock.clone())).await,
        postgres_at(Arc::new(clock.clone())).await,
    ] {
        let running = Running::start(&test);
        let (envelope, _) = report();
        running.deliver(&[outgoing(&envelope)]).await;
        clock.advance(Duration::days(8));

        let forget = ForgetInbox::new(test.db.clone());
        for _ in 0..2 {
            forget.run().await.unwrap();
            running.deliver(&[outgoing(&envelope)]).await;
            assert_eq!(running.handler.applied().len(), 1, "a repeat is recognised");
            clock.advance(Duration::minutes(59));
        }
        forget.run().await.unwrap();
        assert_eq!(inbox_rows(&test.db).await.len(), 0);
    }
}

//! Outbox, bus and inbox together: nothing said is lost, and each message is applied once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use sea_orm::{DbErr, EntityTrait, QueryOrder};
use shared::{
    bus::{Address, Bus, Outgoing, embedded::EmbeddedBus},
    clock::{Clock, SystemClock},
    contracts::{Envelope, QUEUES, Queue, ReportPurchaseV1, ServiceName, route_of},
    db::{Db, Tx},
    host::Job as _,
    ids::{MessageId, PurchaseId},
    inbox::{self, Handle, HandleError, Handlers, Receiver, RetryInbox, Status},
    outbox::{self, Relay},
    testing::eventually,
};
use tokio_util::sync::CancellationToken;

use crate::{TestDb, open, postgres, sqlite};

/// Applies reports by remembering them; refuses one purchase for as long as it is told to.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    applied: Arc<Mutex<Vec<PurchaseId>>>,
    batches: Arc<Mutex<Vec<usize>>>,
    refused: Arc<Mutex<Option<PurchaseId>>>,
    stuck: Arc<AtomicBool>,
}

#[async_trait]
impl Handle<ReportPurchaseV1> for Recorder {
    async fn handle(&self, tx: &Tx, messages: &[ReportPurchaseV1]) -> Result<(), HandleError> {
        let refused = *self.refused.lock().unwrap();
        if messages
            .iter()
            .any(|message| Some(message.purchase_id) == refused)
        {
            return Err(HandleError::rule("this one is refused"));
        }
        while self.stuck.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        // What is applied shows in the database only: here it is said on.
        for message in messages {
            tx.emit(&ReportPurchaseV1 {
                purchase_id: message.purchase_id,
            })?;
        }
        self.batches.lock().unwrap().push(messages.len());
        self.applied
            .lock()
            .unwrap()
            .extend(messages.iter().map(|message| message.purchase_id));
        Ok(())
    }
}

impl Recorder {
    pub(crate) fn applied(&self) -> Vec<PurchaseId> {
        self.applied.lock().unwrap().clone()
    }

    async fn applies(&self, count: usize) {
        eventually("all are applied", || {
            std::future::ready((self.applied().len() >= count).then_some(()))
        })
        .await;
    }
}

pub(crate) fn billing_queue() -> &'static Queue {
    QUEUES
        .iter()
        .find(|queue| queue.service == ServiceName::Billing)
        .unwrap()
}

pub(crate) fn report() -> (Envelope, PurchaseId) {
    let now = SystemClock.now();
    let purchase_id = PurchaseId::new(now);
    let message = ReportPurchaseV1 { purchase_id };
    (
        Envelope::seal(MessageId::new(now), "test", now, None, &message).unwrap(),
        purchase_id,
    )
}

pub(crate) fn outgoing(envelope: &Envelope) -> Outgoing {
    let (exchange, key) = route_of(&envelope.message_type).unwrap();
    Outgoing {
        id: envelope.id,
        to: Address::Route {
            exchange,
            routing_key: key.to_owned(),
        },
        body: serde_json::to_vec(envelope).unwrap().into(),
    }
}

pub(crate) struct Receiving {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) recorder: Recorder,
    handlers: Arc<Handlers>,
    stop: CancellationToken,
}

impl Receiving {
    pub(crate) fn start(test: &TestDb) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::new());
        let recorder = Recorder::default();
        let handlers = Arc::new(Handlers::new().on::<ReportPurchaseV1>(recorder.clone()));
        let stop = CancellationToken::new();
        let receiver = Receiver::new(
            test.db.clone(),
            Arc::clone(&bus),
            billing_queue(),
            Arc::clone(&handlers),
        );
        tokio::spawn(receiver.run(stop.clone()));
        Self {
            bus,
            recorder,
            handlers,
            stop,
        }
    }

    async fn deliver(&self, batch: &[Outgoing]) {
        for outcome in self.bus.publish(batch).await {
            outcome.unwrap();
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn inbox_rows(db: &Db) -> Vec<inbox::entity::Model> {
    inbox::entity::Entity::find()
        .order_by_asc(inbox::entity::Column::ReceivedAt)
        .all(db.reader())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_message_that_comes_twice_is_applied_once() {
    for test in [sqlite().await, postgres().await] {
        let receiving = Receiving::start(&test);
        let (envelope, purchase) = report();
        let message = outgoing(&envelope);
        receiving.deliver(&[message.clone(), message.clone()]).await;
        receiving.deliver(std::slice::from_ref(&message)).await;
        receiving.deliver(&[message]).await;
        assert_eq!(receiving.recorder.applied(), [purchase]);
        assert_eq!(
            outbox::count(test.db.reader()).await.unwrap(),
            1,
            "what follows is said once"
        );
    }
}

#[tokio::test]
async fn a_bad_message_does_not_hold_up_its_neighbours() {
    for test in [sqlite().await, postgres().await] {
        let receiving = Receiving::start(&test);
        let (good, bad): (Vec<_>, _) = ((0..5).map(|_| report()).collect(), report());
        *receiving.recorder.refused.lock().unwrap() = Some(bad.1);
        let mut batch: Vec<_> = good.iter().map(|(envelope, _)| outgoing(envelope)).collect();
        batch.insert(2, outgoing(&bad.0));
        receiving.deliver(&batch).await;

        let mut applied = receiving.recorder.applied();
        applied.sort_unstable();
        let mut expected: Vec<_> = good.iter().map(|(_, purchase)| *purchase).collect();
        expected.sort_unstable();
        assert_eq!(applied, expected);
        let kept: Vec<_> = inbox_rows(&test.db)
            .await
            .into_iter()
            .filter(|row| row.status == Status::Retry)
            .collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].id, bad.0.id);
        assert!(
            kept[0].error.as_deref().unwrap().contains("this one is refused"),
            "{kept:?}"
        );

        // The cause is gone: the retry applies it, once.
        *receiving.recorder.refused.lock().unwrap() = None;
        let retry = RetryInbox::new(test.db.clone(), Arc::clone(&receiving.handlers));
        eventually("the message is applied after all", || async {
            retry.run().await.unwrap();
            receiving.recorder.applied().contains(&bad.1).then_some(())
        })
        .await;
        receiving.deliver(&[outgoing(&bad.0)]).await;
        assert_eq!(receiving.recorder.applied().len(), 6);
        assert!(
            inbox_rows(&test.db)
                .await
                .iter()
                .all(|row| row.status == Status::Done)
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_parked_and_the_rest_goes_on() {
    for test in [sqlite().await, postgres().await] {
        let receiving = Receiving::start(&test);
        let (envelope, purchase) = report();
        let mut garbage = outgoing(&report().0);
        garbage.body = b"\xff\x00 not an envelope".to_vec().into();
        let (mut wrong, _) = report();
        wrong.data = serde_json::json!({"purchase_id": "not an id"});
        let (mut stranger, _) = report();
        stranger.message_type = "kopeck.billing.unheard_of.v9".to_owned();
        let stranger = Outgoing {
            body: serde_json::to_vec(&stranger).unwrap().into(),
            ..outgoing(&report().0)
        };
        receiving
            .deliver(&[garbage, outgoing(&wrong), stranger, outgoing(&envelope)])
            .await;

        assert_eq!(receiving.recorder.applied(), [purchase]);
        let parked = inbox::parked(test.db.reader(), 10).await.unwrap();
        assert_eq!(parked.len(), 3, "{parked:#?}");
        assert!(parked.iter().all(|row| row.error.is_some() && row.body.is_some()));
    }
}

#[tokio::test]
async fn what_is_there_is_taken_in_one_batch() {
    let test = sqlite().await;
    let receiving = Receiving::start(&test);
    receiving.recorder.stuck.store(true, Ordering::SeqCst);
    let first = outgoing(&report().0);
    let rest: Vec<_> = (0..40).map(|_| outgoing(&report().0)).collect();
    let bus = Arc::clone(&receiving.bus);
    let published = tokio::spawn(async move {
        let (one, many) = tokio::join!(bus.publish(std::slice::from_ref(&first)), bus.publish(&rest));
        one.into_iter().chain(many).for_each(|outcome| outcome.unwrap());
    });
    tokio::task::yield_now().await;
    receiving.recorder.stuck.store(false, Ordering::SeqCst);
    published.await.unwrap();
    let batches = receiving.recorder.batches.lock().unwrap().clone();
    assert!(
        batches.len() < 10,
        "41 messages took {} transactions",
        batches.len()
    );
}

#[tokio::test]
async fn what_a_rolled_back_transaction_said_is_not_said() {
    for test in [sqlite().await, postgres().await] {
        let outcome: Result<(), DbErr> = test
            .db
            .write(|tx| async move {
                tx.emit(&ReportPurchaseV1 {
                    purchase_id: PurchaseId::new(tx.now()),
                })?;
                Err(DbErr::Custom("changed my mind".to_owned()))
            })
            .await;
        assert!(outcome.is_err());
        assert_eq!(outbox::count(test.db.reader()).await.unwrap(), 0);
    }
}

async fn say(db: &Db) -> PurchaseId {
    let purchase_id = PurchaseId::new(SystemClock.now());
    db.write(|tx| async move { tx.emit(&ReportPurchaseV1 { purchase_id }).map(drop) })
        .await
        .unwrap();
    purchase_id
}

#[tokio::test]
async fn what_is_said_reaches_the_queue_and_leaves_the_outbox() {
    for (sender, receiver) in [
        (sqlite().await, sqlite().await),
        (postgres().await, postgres().await),
    ] {
        let receiving = Receiving::start(&receiver);
        let TestDb { db, committed, .. } = sender;
        let stop = CancellationToken::new();
        let relay =
            tokio::spawn(Relay::new(db.clone(), Arc::clone(&receiving.bus), committed).run(stop.clone()));
        let said = [say(&db).await, say(&db).await, say(&db).await];
        receiving.recorder.applies(3).await;
        let mut applied = receiving.recorder.applied();
        applied.sort_unstable();
        assert_eq!(applied, said);
        eventually("the outbox is empty", || async {
            (outbox::count(db.reader()).await.unwrap() == 0).then_some(())
        })
        .await;
        stop.cancel();
        relay.await.unwrap();
    }
}

#[tokio::test]
async fn what_a_dead_process_left_behind_is_sent_by_another() {
    for (sender, receiver) in [
        (sqlite().await, sqlite().await),
        (postgres().await, postgres().await),
    ] {
        let said = [say(&sender.db).await, say(&sender.db).await];
        drop(sender.committed); // it died before it could send them

        let receiving = Receiving::start(&receiver);
        let stop = CancellationToken::new();
        let mut relays = Vec::new();
        for _ in 0..2 {
            let (db, committed) = open(&sender.url).await;
            relays.push(tokio::spawn(
                Relay::new(db, Arc::clone(&receiving.bus), committed).run(stop.clone()),
            ));
        }
        receiving.recorder.applies(2).await;
        let mut applied = receiving.recorder.applied();
        applied.sort_unstable();
        assert_eq!(applied, said);
        stop.cancel();
        for relay in relays {
            relay.await.unwrap();
        }
        assert_eq!(receiving.recorder.applied().len(), 2, "two relays share the work");
    }
}

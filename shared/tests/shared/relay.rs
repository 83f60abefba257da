//! The relay when things go badly: too much to say, a bus that panics, a bus that never answers.

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
use shared::{
    bus::{Bus, BusError, Consumer, Listener, Outgoing, Side},
    contracts::{Queue, ReportPurchaseV1, WakeUp},
    db::Db,
    ids::{MessageId, PurchaseId},
    outbox::Relay,
    testing::eventually,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{messaging::report, sqlite};

/// How a bus treats what is published.
enum Mood {
    Takes,
    PanicsOnce,
    NeverAnswers,
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

    async fn publishes(&self, id: MessageId) {
        eventually("it is published", || {
            std::future::ready(self.published.lock().unwrap().contains_key(&id).then_some(()))
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
        match self.mood {
            Mood::PanicsOnce if number == 0 => panic!("a bad day"),
            Mood::NeverAnswers => pending().await,
            _ => {}
        }
        for message in batch {
            *self.published.lock().unwrap().entry(message.id).or_default() += 1;
        }
        batch.iter().map(|_| Ok(())).collect()
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

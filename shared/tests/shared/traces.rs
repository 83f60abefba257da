//! Every line and every message that follows from a message can be found by its trace.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use chrono::Duration;
use sea_orm::{ActiveValue::Set, ConnectionTrait as _, EntityTrait as _};
use shared::{
    bus::Outgoing,
    clock::{Clock as _, ManualClock, SystemClock},
    host::Job as _,
    ids::MessageId,
    inbox::{self, Status},
    telemetry::trace,
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _};

use crate::{
    failures::{Fate, Running, keep_for_retry, row},
    messaging::{outgoing, report},
    postgres, sqlite, sqlite_at,
};

/// Lines that were logged by this process, as JSON.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// One for all tests: tracing caches what a line's first thread thinks of it, so that a subscriber
/// of one thread can miss lines while others run. Messages are told apart by their ids.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone());
    let registry = tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(layer);
    tracing::subscriber::set_global_default(registry).unwrap();
    log
});

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The log, from now at the latest.
    pub(crate) fn listen() -> &'static Self {
        &LOG
    }

    /// The lines that say `message` of message `id`.
    fn lines(&self, id: MessageId, message: &str) -> Vec<serde_json::Value> {
        String::from_utf8(self.0.lock().unwrap().clone())
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["message"] == message && line["id"].to_string().contains(&id.to_string()))
            .collect()
    }

    pub(crate) fn count(&self, id: MessageId, message: &str) -> usize {
        self.lines(id, message).len()
    }
}

#[tokio::test]
async fn a_message_is_logged_as_applied_once_and_with_its_trace() {
    for test in [sqlite().await, postgres().await] {
        let log = Log::listen();
        let running = Running::start(&test);
        let (mut envelope, _) = report();
        envelope.traceparent = Some(trace::root());
        let message = outgoing(&envelope);
        running.deliver(&[message.clone(), message.clone()]).await;
        running.deliver(&[message]).await;
        let lines = log.lines(envelope.id, "applied");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let trace_id = trace::trace_id(envelope.traceparent.as_deref().unwrap()).unwrap();
        assert_eq!(lines[0]["trace_id"], trace_id);
    }
}

#[tokio::test]
async fn what_fails_is_logged_with_its_trace_until_it_is_parked() {
    let clock = ManualClock::at(SystemClock.now());
    let test = sqlite_at(Arc::new(clock.clone())).await;
    let log = Log::listen();
    let running = Running::start(&test);
    let (mut envelope, purchase) = report();
    envelope.traceparent = Some(trace::root());
    running.handler.doom(purchase, Fate::Refuse("not this one"));
    running.deliver(&[outgoing(&envelope)]).await;
    for _ in 0..20 {
        clock.advance(Duration::minutes(10));
        running.retry.run().await.unwrap();
    }
    let trace_id = trace::trace_id(envelope.traceparent.as_deref().unwrap()).unwrap();
    for message in ["a message could not be applied", "a message is parked"] {
        let lines = log.lines(envelope.id, message);
        assert_eq!(lines.len(), 1, "{message}: {lines:#?}");
        assert_eq!(lines[0]["trace_id"], trace_id, "{message}");
    }
}

/// Another replica has applied it between the failure and its record.
#[tokio::test]
async fn who_finds_a_failure_overtaken_does_not_tell_that_a_message_is_parked() {
    let test = postgres().await;
    let log = Log::listen();
    let running = Running::start(&test);
    let (overtaken, alone) = (report(), report());
    let sql = format!(
        "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER overtake BEFORE UPDATE ON inbox
           FOR EACH ROW WHEN (NEW.id = '{}' AND NEW.status = 'parked') EXECUTE FUNCTION overtake();",
        overtaken.0.id
    );
    test.db.writer().execute_unprepared(&sql).await.unwrap();
    for (minutes, (envelope, purchase)) in [(1, &overtaken), (2, &alone)] {
        running.handler.doom(*purchase, Fate::Refuse("not this one"));
        let due = test.db.now() - Duration::minutes(minutes);
        keep_for_retry(&test.db, envelope, due).await;
        let nearly = inbox::entity::ActiveModel {
            id: Set(envelope.id),
            attempts: Set(11),
            ..Default::default()
        };
        inbox::entity::Entity::update(nearly)
            .exec(test.db.writer())
            .await
            .unwrap();
    }
    running.retry.run().await.unwrap();
    assert_eq!(row(&test.db, alone.0.id).await.status, Status::Parked);
    assert_eq!(log.count(alone.0.id, "a message is parked"), 1);
    assert_eq!(log.count(overtaken.0.id, "a message is parked"), 0);
}

#[tokio::test]
async fn the_same_garbage_is_parked_and_told_of_once() {
    let log = Log::listen();
    for test in [sqlite().await, postgres().await] {
        let running = Running::start(&test);
        // Bytes of this test and database alone, so that their id is.
        let unique = report().0.id.to_string();
        let garbage = |text: &[u8]| Outgoing {
            body: [text, unique.as_bytes()].concat().into(),
            ..outgoing(&report().0)
        };
        let (one, other) = (garbage(b"\xff\x00 no envelope"), garbage(b"no envelope either"));
        running.deliver(&[one.clone(), one.clone(), other]).await;
        running.deliver(&[one]).await;
        let parked = inbox::parked(test.db.reader(), 10).await.unwrap();
        assert_eq!(parked.len(), 2);
        for row in parked {
            assert_eq!(log.count(row.id, "a message could not be applied"), 1);
        }
    }
}

#[tokio::test]
async fn what_a_message_causes_elsewhere_stays_on_its_trace() {
    let mut test = sqlite().await;
    let running = Running::start(&test);
    let (mut envelope, purchase) = report();
    envelope.traceparent = Some(trace::root());
    running.handler.doom(purchase, Fate::SpeakOfAnother);
    running.deliver(&[outgoing(&envelope)]).await;
    let said = test.committed.recv().await.unwrap();
    assert_ne!(said[0].subject, envelope.subject);
    let traceparent = said[0].traceparent.as_deref().expect("a trace");
    assert_eq!(
        trace::trace_id(traceparent),
        trace::trace_id(envelope.traceparent.as_deref().unwrap())
    );
}

#[tokio::test]
async fn messages_of_one_batch_do_not_take_over_each_others_traces() {
    let mut test = sqlite().await;
    let running = Running::start(&test);
    let (mut one, purchase) = report();
    one.traceparent = Some(trace::root());
    let (other, _) = report();
    running.handler.doom(purchase, Fate::SpeakOfAnother);
    running.deliver(&[outgoing(&one), outgoing(&other)]).await;
    let said = test.committed.recv().await.unwrap();
    assert_eq!(said[0].traceparent, None, "it may be due to either");
}

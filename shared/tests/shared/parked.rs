//! What an administrator does with messages that are parked.

use std::{collections::HashSet, sync::Arc};

use chrono::Duration;
use sea_orm::{ActiveValue::Set, EntityTrait as _};
use serde_json::json;
use shared::{
    audit::{self, AuditFilter},
    bus::Outgoing,
    clock::{Clock as _, Instant, ManualClock, SystemClock},
    contracts::{Envelope, Message as _, ReportPurchaseV1},
    db::Db,
    host::Job as _,
    ids::{MessageId, UserId},
    inbox::{self, Decision, ForgetInbox, Status, Which},
};

use crate::{
    TestDb,
    failures::{Fate, Running},
    messaging::{inbox_rows, outgoing, report},
    postgres_at, sqlite_at,
};

async fn both_databases() -> (ManualClock, [TestDb; 2]) {
    let clock = ManualClock::at(SystemClock.now());
    let databases = [
        sqlite_at(Arc::new(clock.clone())).await,
        postgres_at(Arc::new(clock.clone())).await,
    ];
    (clock, databases)
}

/// Puts a message into the inbox as if it had failed.
async fn keep(db: &Db, id: MessageId, status: Status, body: &str, received_at: Instant) {
    let row = inbox::entity::ActiveModel {
        id: Set(id),
        status: Set(status),
        received_at: Set(received_at),
        attempts: Set(12),
        next_attempt_at: Set((status == Status::Retry).then(|| received_at + Duration::days(1))),
        error: Set(Some("it failed".to_owned())),
        body: Set(Some(body.to_owned())),
    };
    inbox::entity::Entity::insert(row)
        .exec_without_returning(db.writer())
        .await
        .unwrap();
}

async fn park(db: &Db, envelope: &Envelope) {
    let body = serde_json::to_string(envelope).unwrap();
    keep(db, envelope.id, Status::Parked, &body, db.now()).await;
}

async fn replay(db: &Db, id: MessageId) -> Decision {
    let decisions = db
        .write(|tx| async move { inbox::replay(&tx, None, &[id]).await })
        .await;
    let [(decided, decision)] = <[_; 1]>::try_from(decisions.unwrap()).unwrap();
    assert_eq!(decided, id);
    decision
}

async fn drop_parked(db: &Db, ids: &[MessageId]) -> Vec<(MessageId, Decision)> {
    db.write(|tx| async move { inbox::drop_parked(&tx, None, ids).await })
        .await
        .unwrap()
}

async fn find(db: &Db, id: MessageId) -> inbox::Failed {
    inbox::find_failed(db.reader(), id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_parked_message_is_tried_anew_when_it_is_replayed() {
    let (clock, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        let (envelope, purchase) = report();
        running.handler.doom(purchase, Fate::Refuse("not on a Sunday"));
        running.deliver(&[outgoing(&envelope)]).await;
        assert_eq!(
            replay(&test.db, envelope.id).await,
            Decision::NotParked(Status::Retry)
        );
        for _ in 0..20 {
            clock.advance(Duration::minutes(10));
            running.retry.run().await.unwrap();
        }
        let parked = find(&test.db, envelope.id).await;
        assert_eq!((parked.status, parked.attempts), (Status::Parked, 12));
        assert_eq!(parked.message_type.as_deref(), Some(ReportPurchaseV1::TYPE));
        assert_eq!(parked.subject, Some(purchase.0));
        assert!(
            parked.error.as_deref().unwrap().contains("not on a Sunday"),
            "{parked:?}"
        );
        let listed = inbox::failed(test.db.reader(), Which::Parked, None, 10)
            .await
            .unwrap();
        assert_eq!(listed, std::slice::from_ref(&parked));

        assert_eq!(replay(&test.db, envelope.id).await, Decision::Done(parked));
        running.retry.run().await.unwrap();
        let again = find(&test.db, envelope.id).await;
        assert_eq!((again.status, again.attempts), (Status::Retry, 1), "counted anew");

        running.handler.doom(purchase, Fate::SpeakOfAnother);
        clock.advance(Duration::minutes(10));
        running.retry.run().await.unwrap();
        assert_eq!(running.handler.applied(), [purchase]);
        assert_eq!(
            replay(&test.db, envelope.id).await,
            Decision::NotParked(Status::Done)
        );
        running.retry.run().await.unwrap();
        assert_eq!(running.handler.applied(), [purchase]);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_parked_again_at_once() {
    let (_, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        let (mut wrong, _) = report();
        wrong.data = json!({"purchase_id": "not an id"});
        let wrong = Outgoing {
            body: serde_json::to_vec(&wrong).unwrap().into(),
            ..outgoing(&report().0)
        };
        let garbage = Outgoing {
            body: b"\xff\x00 no envelope".as_slice().into(),
            ..outgoing(&report().0)
        };
        running.deliver(&[wrong, garbage]).await;
        let ids = inbox::parked_ids(test.db.reader()).await.unwrap();
        assert_eq!(ids.len(), 2);
        for id in ids {
            assert!(matches!(replay(&test.db, id).await, Decision::Done(_)));
            running.retry.run().await.unwrap();
            let again = find(&test.db, id).await;
            assert_eq!((again.status, again.attempts), (Status::Parked, 1));
            assert!(again.error.unwrap().contains("can't be read"));
        }
    }
}

#[tokio::test]
async fn a_dropped_message_is_not_applied_when_it_comes_again() {
    let (clock, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        let (envelope, _) = report();
        park(&test.db, &envelope).await;
        let parked = find(&test.db, envelope.id).await;
        assert_eq!(
            drop_parked(&test.db, &[envelope.id]).await,
            [(envelope.id, Decision::Done(parked))]
        );
        let dropped = find(&test.db, envelope.id).await;
        assert_eq!((dropped.status, &dropped.body), (Status::Dropped, &None));
        assert!(dropped.error.is_some(), "why it failed can still be looked up");

        running.deliver(&[outgoing(&envelope)]).await;
        running.retry.run().await.unwrap();
        assert!(running.handler.applied().is_empty());
        assert_eq!(
            replay(&test.db, envelope.id).await,
            Decision::NotParked(Status::Dropped)
        );

        let forget = ForgetInbox::new(test.db.clone());
        for (days, known) in [(6, 1), (2, 0)] {
            clock.advance(Duration::days(days));
            forget.run().await.unwrap();
            assert_eq!(inbox_rows(&test.db).await.len(), known);
        }
    }
}

/// The inbox remembers from the decision on, not from when the message came.
#[tokio::test]
async fn a_repeat_is_recognised_however_long_the_message_was_parked() {
    let (clock, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        let (dropped, applied) = (report(), report());
        park(&test.db, &dropped.0).await;
        park(&test.db, &applied.0).await;
        let forget = ForgetInbox::new(test.db.clone());
        clock.advance(Duration::days(30));
        drop_parked(&test.db, &[dropped.0.id]).await;
        replay(&test.db, applied.0.id).await;
        running.retry.run().await.unwrap();
        assert_eq!(running.handler.applied(), [applied.1]);

        clock.advance(Duration::days(6));
        forget.run().await.unwrap();
        running
            .deliver(&[outgoing(&dropped.0), outgoing(&applied.0)])
            .await;
        assert_eq!(running.handler.applied(), [applied.1]);

        clock.advance(Duration::days(2));
        forget.run().await.unwrap();
        assert_eq!(inbox_rows(&test.db).await, []);
    }
}

#[tokio::test]
async fn only_what_is_parked_can_be_dropped() {
    let (_, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        let (retried, done, unknown) = (report().0, report().0, report().0.id);
        let body = serde_json::to_string(&retried).unwrap();
        keep(&test.db, retried.id, Status::Retry, &body, test.db.now()).await;
        running.deliver(&[outgoing(&done)]).await;
        let before = inbox_rows(&test.db).await;
        assert_eq!(
            drop_parked(&test.db, &[unknown, done.id, retried.id, done.id]).await,
            [
                (unknown, Decision::Unknown),
                (done.id, Decision::NotParked(Status::Done)),
                (retried.id, Decision::NotParked(Status::Retry)),
            ]
        );
        assert_eq!(inbox_rows(&test.db).await, before);
        assert_eq!(inbox::find_failed(test.db.reader(), done.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn who_decides_about_a_parked_message_stands_in_the_audit_log() {
    let (clock, databases) = both_databases().await;
    for test in databases {
        let (one, two, retried) = (report().0, report().0, report().0);
        for envelope in [&one, &two] {
            park(&test.db, envelope).await;
        }
        let body = serde_json::to_string(&retried).unwrap();
        keep(&test.db, retried.id, Status::Retry, &body, test.db.now()).await;
        replay(&test.db, one.id).await;
        clock.advance(Duration::seconds(1));
        drop_parked(&test.db, &[two.id, retried.id]).await;
        let by = UserId::new(test.db.now());
        test.db
            .write(|tx| async move { inbox::drop_parked(&tx, Some(by), &[two.id]).await })
            .await
            .unwrap();
        park(&test.db, &report().0).await;
        clock.advance(Duration::seconds(1));
        let ids = &inbox::parked_ids(test.db.reader()).await.unwrap();
        test.db
            .write(|tx| async move { inbox::replay(&tx, Some(by), ids).await })
            .await
            .unwrap();
        let filter = AuditFilter {
            limit: 10,
            ..AuditFilter::default()
        };
        let log = audit::list(test.db.reader(), filter).await.unwrap();
        let mut told: Vec<_> = log
            .iter()
            .map(|entry| (entry.action.as_str(), entry.subject, entry.actor))
            .collect();
        told.reverse();
        assert_eq!(
            told,
            [
                ("parked.replay", one.id.0, None),
                ("parked.drop", two.id.0, None),
                ("parked.replay", ids[0].0, Some(by)),
            ]
        );
        assert_eq!(
            log[2].details,
            json!({"type": ReportPurchaseV1::TYPE, "attempts": 12})
        );
    }
}

#[tokio::test]
async fn messages_that_failed_are_listed_page_by_page_and_oldest_first() {
    let (_, databases) = both_databases().await;
    for test in databases {
        let now = test.db.now();
        let mut expected = Vec::new();
        for minute in 0..3 {
            // Some came in the same instant.
            let mut ids = [(); 3].map(|()| MessageId::new(now));
            ids.reverse();
            for (number, id) in ids.into_iter().enumerate() {
                let status = [Status::Parked, Status::Parked, Status::Retry][number];
                keep(&test.db, id, status, "{}", now - Duration::minutes(minute)).await;
                expected.push((now - Duration::minutes(minute), id, status));
            }
        }
        expected.sort_unstable_by_key(|(at, id, _)| (*at, *id));
        for which in [Which::Parked, Which::ParkedAndRetried] {
            let expected: Vec<_> = expected
                .iter()
                .filter(|(_, _, status)| which == Which::ParkedAndRetried || *status == Status::Parked)
                .map(|(_, id, _)| *id)
                .collect();
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = inbox::failed(test.db.reader(), which, after, 2).await.unwrap();
                let Some(last) = page.last() else { break };
                assert_eq!((&last.message_type, last.subject), (&None, None));
                after = Some((last.received_at, last.id));
                listed.extend(page.iter().map(|message| message.id));
            }
            assert_eq!(listed, expected);
            let count = inbox::count_failed(test.db.reader(), which).await.unwrap();
            assert_eq!(count, expected.len() as u64);
            if which == Which::Parked {
                assert_eq!(inbox::parked_ids(test.db.reader()).await.unwrap(), expected);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_and_tries_at_once_apply_each_message_once() {
    let (_, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        let reports = [(); 20].map(|()| report());
        for (envelope, _) in &reports {
            park(&test.db, envelope).await;
        }
        let ids: Vec<_> = reports.iter().map(|(envelope, _)| envelope.id).collect();
        let backwards: Vec<_> = ids.iter().rev().copied().collect();
        let orders = [&ids, &backwards, &ids, &backwards];
        let replays = orders.map(|ids| {
            test.db
                .write(move |tx| async move { inbox::replay(&tx, None, ids).await })
        });
        let done: usize = futures::future::join_all(replays)
            .await
            .into_iter()
            .flat_map(Result::unwrap)
            .filter(|(_, decision)| matches!(decision, Decision::Done(_)))
            .count();
        assert_eq!(done, reports.len(), "each is replayed by one of them");
        let tries = [(); 4].map(|()| running.retry.run());
        for tried in futures::future::join_all(tries).await {
            tried.unwrap();
        }
        running.retry.run().await.unwrap();
        let applied: Vec<_> = running.handler.applied();
        let distinct: HashSet<_> = applied.iter().copied().collect();
        assert_eq!((applied.len(), distinct.len()), (reports.len(), reports.len()));
    }
}

/// What could not be read is kept under an id made of its bytes. A newer program may read it, and
/// the same message may have come in another way.
#[tokio::test]
async fn what_can_be_read_after_all_is_applied_once_however_it_is_known() {
    let (_, databases) = both_databases().await;
    for test in databases {
        let running = Running::start(&test);
        for comes_first in [true, false] {
            let (envelope, purchase) = report();
            let of_bytes = MessageId::new(test.db.now());
            let body = serde_json::to_string(&envelope).unwrap();
            keep(&test.db, of_bytes, Status::Parked, &body, test.db.now()).await;
            if comes_first {
                running.deliver(&[outgoing(&envelope)]).await;
            }
            replay(&test.db, of_bytes).await;
            running.retry.run().await.unwrap();
            running.deliver(&[outgoing(&envelope)]).await;
            let applied = running.handler.applied();
            assert_eq!(applied.iter().filter(|one| **one == purchase).count(), 1);
            assert_eq!(find(&test.db, of_bytes).await.status, Status::Done);
        }
    }
}

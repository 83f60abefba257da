//! What is done from time to time is done by one replica, also where both begin at the same moment.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait as _, DbErr, Statement, TransactionTrait as _};
use serde_json::json;
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{
        Envelope, Locale, Message as _, PurchaseFailedV1, ReportPurchaseV1, ServiceName, UserRegisteredV1,
        UserState, UserStatus,
    },
    db::Db,
    ids::{MessageId, UserId},
    inbox, outbox,
    testing::eventually,
};

use super::{Applied, Logs, REPLICAS, Traffic, buyers, promocode_for_all, start};
use crate::broker::Broker;

async fn number(conn: &impl sea_orm::ConnectionTrait, sql: &str) -> i64 {
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = conn.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// Locks `table` until the job of every replica stands before it with a query like `looks`, makes
/// there be something to do by `change`, and lets all of them go at once.
async fn let_all_begin_at_once(db: &Db, table: &str, looks: &str, change: &str) -> Result<(), DbErr> {
    let lock = db.writer().begin().await?;
    lock.execute_unprepared(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        .await?;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE '{looks}'"
    );
    // Not in the transaction, which would see the same activity for ever.
    eventually("every replica's job waits", || async {
        (number(db.reader(), &waiting).await == REPLICAS as i64).then_some(())
    })
    .await;
    lock.execute_unprepared(change).await?;
    lock.commit().await
}

/// How often each subject is in `applied`.
fn times(applied: &[Applied]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for applied in applied {
        *times.entry(applied.subject.as_str()).or_default() += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_purchases_fail_once_with_one_letter() {
    const EACH: usize = 10;
    let mut platform = start().await;
    let logs = Logs::of(&mut platform);
    let tariff = platform.tariff("Month", 10_000).await;
    promocode_for_all(&platform).await;
    let users = buyers(&platform, 4).await;
    for process in platform.cluster().processes(ServiceName::Loyalty) {
        process.kill().await.unwrap();
    }
    let purchases = users.iter().flat_map(|user| {
        let body = json!({"tariff_id": tariff, "promocode": "ALL"});
        [(); EACH].map(|()| {
            let body = body.clone();
            async move { user.api.post("/billing/v1/purchases", &body).await.expect(202) }
        })
    });
    futures::future::join_all(purchases).await;

    let db = platform.database(ServiceName::Billing).await;
    let change = "UPDATE purchases SET deadline = requested_at WHERE state = 'pending'";
    let_all_begin_at_once(&db, "purchases", "%ORDER BY%deadline%", change)
        .await
        .unwrap();
    for user in &users {
        // Registered, topped up, and one a purchase.
        for letter in &user.letters(2 + EACH).await[..EACH] {
            assert_eq!(letter["kind"], "purchase_failed");
        }
    }
    let all = users.len() * EACH;
    let failed = logs
        .eventually_applied_of(ServiceName::Notifications, PurchaseFailedV1::TYPE, all)
        .await;
    assert_eq!(
        (failed.len(), times(&failed).len()),
        (all, all),
        "each outcome is said once"
    );
    for process in platform.cluster().processes(ServiceName::Loyalty) {
        process.start_again().await.unwrap();
    }
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_holds_are_asked_about_once_a_period() {
    const EACH: usize = 10;
    let mut platform = start().await;
    let logs = Logs::of(&mut platform);
    let tariff = platform.tariff("Month", 10_000).await;
    promocode_for_all(&platform).await;
    let users = buyers(&platform, 4).await;
    for user in &users {
        for _ in 0..EACH {
            assert_eq!(user.buy(&tariff, Some("ALL")).await.body["status"], "paid");
        }
    }
    let db = platform.database(ServiceName::Loyalty).await;
    let all = users.len() * EACH;
    let confirmed = "SELECT count(*) FROM redemptions WHERE status = 'confirmed'";
    let all_are_confirmed = || async {
        eventually("the redemptions are confirmed", || async {
            (number(db.reader(), confirmed).await == all as i64).then_some(())
        })
        .await;
    };
    all_are_confirmed().await;

    // As if what billing said had been lost.
    let change = "UPDATE redemptions SET status = 'held', purchase_version = 0, next_report_at = created_at";
    let_all_begin_at_once(&db, "redemptions", "%next_report_at%", change)
        .await
        .unwrap();
    all_are_confirmed().await;
    let asked = number(db.reader(), "SELECT sum(reports) FROM redemptions").await;
    assert_eq!(asked, all as i64, "each is asked about once");
    let reports = logs
        .eventually_applied_of(ServiceName::Billing, ReportPurchaseV1::TYPE, all)
        .await;
    assert_eq!((reports.len(), times(&reports).len()), (all, all));
    for user in &users {
        user.letters(2 + EACH).await;
    }
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_again_is_tried_by_one_replica() {
    const ALL: usize = 50;
    let mut platform = start().await;
    let logs = Logs::of(&mut platform);
    let broker = Broker::of(&platform);
    let mut said = HashSet::new();
    for _ in 0..ALL {
        let envelope = registered();
        said.insert(envelope.subject.to_string());
        let body = serde_json::to_string(&envelope).unwrap();
        broker.publish("kopeck.dead", "billing.v1", &body).await;
    }
    let db = platform.database(ServiceName::Billing).await;
    eventually("all are parked", || async {
        let ids = inbox::parked_ids(db.reader()).await.unwrap();
        (ids.len() == ALL).then_some(())
    })
    .await;
    let change = "UPDATE inbox SET status = 'retry', attempts = 0, next_attempt_at = received_at \
                  WHERE status = 'parked'";
    let_all_begin_at_once(&db, "inbox", "%next_attempt_at%", change)
        .await
        .unwrap();
    let applied = eventually("all are applied", || {
        // The administrator is there besides.
        let mut applied = logs.applied_of(ServiceName::Billing, UserRegisteredV1::TYPE);
        applied.retain(|applied| said.contains(&applied.subject));
        std::future::ready((applied.len() >= ALL).then_some(applied))
    })
    .await;
    assert_eq!((applied.len(), times(&applied).len()), (ALL, ALL));
    let by = |replica| applied.iter().filter(|one| one.replica == replica).count();
    println!("tried again by replica 1: {}, by replica 2: {}", by(1), by(2));
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_left_behind_is_sent_by_one_replica() {
    const ALL: usize = 200;
    let platform = start().await;
    let db = platform.database(ServiceName::Auth).await;
    // The administrator too, of whom the command line has said.
    all_is_sent(&db).await;
    let broker = Broker::of(&platform);
    broker.listen().await;
    let rows: Vec<_> = (0..ALL).map(|_| left_behind(&registered())).collect();
    let insert = format!(
        "INSERT INTO outbox (id, body, created_at, leased_until) VALUES {}",
        rows.join(", ")
    );
    let_all_begin_at_once(&db, "outbox", "%WHERE%leased_until%", &insert)
        .await
        .unwrap();
    all_is_sent(&db).await;
    let heard = Traffic::of(&broker).await;
    assert_eq!((heard.known, heard.twice()), (ALL, 0));
    platform.finish().await;
}

async fn all_is_sent(db: &Db) {
    eventually("all is sent", || async {
        (outbox::count(db.reader()).await.unwrap() == 0).then_some(())
    })
    .await;
}

fn left_behind(envelope: &Envelope) -> String {
    let body = serde_json::to_string(envelope).unwrap();
    let at = envelope.time.to_rfc3339();
    format!("('{}', '{body}', '{at}', '{at}')", envelope.id)
}

fn registered() -> Envelope {
    let now = SystemClock.now();
    let message = UserRegisteredV1(UserState {
        user_id: UserId::new(now),
        version: 1,
        status: UserStatus::Active,
        locale: Locale::En,
        time_zone: None,
        registered_at: now,
    });
    Envelope::seal(MessageId::new(now), "auth", now, None, &message).unwrap()
}

//! What a replica lacks is found and announced again, as after a loss that no roll call covers.

use sea_orm::ConnectionTrait as _;
use serde_json::json;
use shared::{contracts::ServiceName, testing::eventually};

use crate::platform::{Platform, run_command};

/// What is lost, and where.
const LOSSES: [(ServiceName, &str); 10] = [
    (ServiceName::Loyalty, "DELETE FROM users"),
    (ServiceName::Loyalty, "DELETE FROM ended_sessions"),
    (ServiceName::Loyalty, "DELETE FROM tariffs"),
    (
        ServiceName::Billing,
        "UPDATE users SET version = version - 1, status = 'active'",
    ),
    (ServiceName::Billing, "DELETE FROM ended_sessions"),
    (
        ServiceName::Notifications,
        "UPDATE users SET version = version - 1, status = 'active'",
    ),
    (ServiceName::Notifications, "DELETE FROM ended_sessions"),
    (
        ServiceName::Notifications,
        "DELETE FROM letters WHERE kind = 'purchase_paid'",
    ),
    (
        ServiceName::Notifications,
        "DELETE FROM letters WHERE kind = 'purchase_failed'",
    ),
    (
        ServiceName::Notifications,
        "DELETE FROM letters WHERE kind = 'account_blocked'",
    ),
];

async fn reconcile(platform: &Platform, repair: bool) -> (bool, String) {
    let mut arguments = vec!["reconcile", "--older-than", "0"];
    if repair {
        arguments.push("--repair");
    }
    let output = run_command(&arguments, platform.environment(), "").await;
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

async fn is_whole(platform: &Platform) {
    eventually("nothing is found", || async {
        let (is_whole, found) = reconcile(platform, false).await;
        if !is_whole {
            eprintln!("{found}");
        }
        is_whole.then_some(())
    })
    .await;
}

async fn what_every_service_lacks_is_found_and_announced_again(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    let (buyer, blocked) = (
        platform.user("buyer", 15_000).await,
        platform.user("blocked", 0).await,
    );
    buyer.buy(&tariff, None).await.expect(201);
    buyer.buy(&tariff, None).await.expect(402);
    let block = format!("/auth/v1/users/{}/block", blocked.id);
    platform.admin.post(&block, &json!({})).await.expect(200);
    is_whole(platform).await;
    let letters = |kind: &'static str| async move {
        let db = platform.database(ServiceName::Notifications).await;
        let sql = format!("SELECT id FROM letters WHERE kind = '{kind}'");
        let statement = sea_orm::Statement::from_string(db.reader().get_database_backend(), sql);
        let rows = db.reader().query_all_raw(statement).await.unwrap();
        db.close().await;
        rows.len()
    };
    let welcomes = letters("welcome").await;

    for (service, sql) in LOSSES {
        let db = platform.database(service).await;
        db.writer().execute_unprepared(sql).await.unwrap();
        db.close().await;
    }
    let (is_whole_now, found) = reconcile(platform, true).await;
    assert!(!is_whole_now);
    for finding in [
        "a replica of users is as auth has it: loyalty has nothing",
        "a replica of users is as auth has it: billing has version",
        "a replica of users is as auth has it: notifications has version",
        "the replica of tariffs is as billing has it: loyalty has nothing",
        "a session that has ended is known to have ended: loyalty does not know it",
        "a session that has ended is known to have ended: billing does not know it",
        "a session that has ended is known to have ended: notifications does not know it",
        "every outcome has its letter: the purchase is paid, the letter none",
        "every outcome has its letter: the purchase is failed, the letter none",
        "announced again",
    ] {
        assert!(found.contains(finding), "{finding}: {found}");
    }
    is_whole(platform).await;
    for (kind, count) in [
        ("purchase_paid", 1),
        ("purchase_failed", 1),
        ("account_blocked", 1),
        ("welcome", welcomes),
    ] {
        assert_eq!(letters(kind).await, count, "{kind}");
    }
}

crate::in_both_modes!(what_every_service_lacks_is_found_and_announced_again);

//! Reconciliation finds what must not be.

use billing::{
    app::{
        reconcile::{reconcile, show_reconciliation},
        report_settled::{SettledPurchase, settled_page, settled_purchases},
    },
    domain::purchase::PurchaseState,
};
use chrono::Duration;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::json;
use shared::{
    contracts::FailureReason,
    money::Amount,
    reconcile::{Check, Looked, Patience, check, look_and_show},
    testing::{TestDatabase, eventually},
};

use crate::{Billing, DATABASES, held};

/// Whether the database takes this from a hand that bypasses the service.
async fn by_hand(billing: &Billing, sql: &str) -> bool {
    billing.service.db.writer().execute_unprepared(sql).await.is_ok()
}

async fn broken_rules(billing: &Billing) -> Vec<&'static str> {
    let findings = reconcile(billing.service.db.reader(), billing.service.peers.now())
        .await
        .unwrap();
    findings.iter().map(|finding| finding.rule).collect()
}

#[tokio::test]
async fn what_a_hand_in_the_database_breaks_is_found() {
    for database in DATABASES {
        for (sql, rule) in [
            (
                "UPDATE accounts SET balance = balance + 1 WHERE kind = 'wallet'",
                "a wallet's balance is the sum of its postings",
            ),
            (
                "DELETE FROM subscriptions",
                "a paid purchase has one subscription, and no other has any",
            ),
            (
                "UPDATE purchases SET state = 'failed', failure_reason = 'timed_out', charged = NULL WHERE state = 'paid'",
                "a purchase is charged once what it says, and only if it is paid",
            ),
            (
                "UPDATE top_ups SET amount = amount + 1",
                "an approved top-up is credited once, and no other is",
            ),
            (
                "UPDATE withdrawals SET amount = amount + 1",
                "a withdrawal is debited once if it was done, and else not",
            ),
            ("DELETE FROM withdrawals", "a transfer has what caused it"),
            (
                "UPDATE subscriptions SET anchor_months = anchor_months + 1",
                "a subscription ends where its anchor says",
            ),
            (
                "UPDATE subscriptions SET anchor_zone = 'Mars'",
                "a subscription ends where its anchor says",
            ),
            (
                "UPDATE subscriptions SET starts_at = anchor_at",
                "subscriptions of a user to a tariff do not overlap",
            ),
            (
                "DELETE FROM accounts WHERE kind = 'revenue'",
                "a posting belongs to a transfer and an account",
            ),
            (
                "INSERT INTO postings (transfer_id, account_id, amount) SELECT t.id, a.id, 1 FROM transfers t, accounts a \
                 WHERE a.kind = 'payout' AND t.cause_kind = 'purchase'",
                "a transfer has two postings that add up to zero and say what it says",
            ),
            (
                "UPDATE purchases SET state = 'pending', version = 1, charged = NULL, settled_at = NULL, balance_after = NULL, \
                 deadline = requested_at WHERE state = 'paid'",
                "a paid purchase has one subscription, and no other has any",
            ),
        ] {
            let billing = Billing::start(database).await;
            let customer = billing.customer_with(10_000).await;
            let tariff = billing.tariff(1_000).await;
            customer.buy(tariff).await.expect(201);
            customer.buy(tariff).await.expect(201);
            customer.withdraw(500).await.expect(200);
            assert!(broken_rules(&billing).await.is_empty());
            assert!(by_hand(&billing, sql).await, "{sql}");
            let broken = broken_rules(&billing).await;
            assert!(broken.contains(&rule), "{sql}: {broken:?}");
            billing.service.stop().await;
        }
    }
}

#[tokio::test]
async fn what_a_hand_breaks_of_refunds_adjustments_and_what_was_left_is_found() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        billing.register(&customer).await;
        let tariff = billing.tariff(1_000).await;
        let bought = customer.buy(tariff).await.expect(201);
        customer.buy(tariff).await.expect(201);
        let refund = format!("/billing/v1/purchases/{}/refund", bought["id"].as_str().unwrap());
        billing
            .admin
            .post(&refund, &json!({"reason": "x"}))
            .await
            .expect(200);
        let credit = format!("/billing/v1/users/{}/credit", customer.id);
        let amount = json!({"amount": 100, "currency": "RUB", "reason": "x"});
        billing.admin.post(&credit, &amount).await.expect(200);
        assert!(broken_rules(&billing).await.is_empty());
        for (sql, rule) in [
            (
                "UPDATE purchases SET refunded_at = settled_at WHERE state = 'refunded'",
                "what a refunded purchase gave has ended",
            ),
            (
                "UPDATE purchases SET state = 'refunded', refund_reason = 'x', refund_balance_after = 0, \
                 refunded_at = requested_at WHERE state = 'paid'",
                "a refunded purchase is given back once, and no other is",
            ),
            (
                "UPDATE adjustments SET amount = amount + 1",
                "an adjustment is one transfer of what it says",
            ),
            (
                "UPDATE users SET status = 'deleted'",
                "a deleted user's wallet is empty",
            ),
            (
                "UPDATE users SET status = 'deleted'",
                "a deleted user's subscriptions have ended",
            ),
            ("DELETE FROM adjustments", "a transfer has what caused it"),
        ] {
            assert!(by_hand(&billing, sql).await, "{sql}");
            let broken = broken_rules(&billing).await;
            assert!(broken.contains(&rule), "{sql}: {broken:?}");
        }
        billing.service.stop().await;
    }
}

const PATIENCE: Patience = Patience {
    each: std::time::Duration::from_secs(1),
    whole: std::time::Duration::from_secs(60),
};

/// Looks when it is this one's turn: the service looks at its start, too.
async fn look(billing: &Billing, checks: &[Check], patience: Patience) -> Vec<Looked> {
    let (db, groups) = (&billing.service.db, [(checks, billing.service.peers.now())]);
    eventually("nobody else looks", || async {
        look_and_show(db, &groups, patience).await.unwrap()
    })
    .await
}

#[tokio::test]
async fn a_check_that_fails_is_unknown_and_no_other_for_it() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let db = &billing.service.db;
        let customer = billing.customer_with(10_000).await;
        assert!(
            by_hand(
                &billing,
                "UPDATE accounts SET balance = balance + 1 WHERE kind = 'wallet'"
            )
            .await
        );
        assert!(by_hand(&billing, "ALTER TABLE top_ups RENAME TO elsewhere").await);
        let looked = eventually("nobody else looks", || async {
            let longer = Patience {
                each: std::time::Duration::from_secs(30),
                ..PATIENCE
            };
            show_reconciliation(db, longer).await.unwrap()
        })
        .await;
        let known = |rule: &str| {
            let looked = looked.iter().find(|looked| looked.rule == rule).unwrap();
            looked.found.as_ref().ok().map(Vec::len)
        };
        assert_eq!(
            known("an approved top-up is credited once, and no other is"),
            None
        );
        assert_eq!(known("a payment provider decides about a top-up"), None);
        assert_eq!(known("a wallet's balance is the sum of its postings"), Some(1));
        assert_eq!(
            known("a withdrawal is debited once if it was done, and else not"),
            Some(0)
        );
        let unknown = looked.iter().filter(|looked| looked.found.is_err()).count();
        assert_eq!(unknown, 3, "{looked:#?}");
        assert!(by_hand(&billing, "ALTER TABLE elsewhere RENAME TO top_ups").await);
        drop(customer);
        billing.service.stop().await;
    }
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_given_up_alone_and_has_a_bound_of_its_own() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let sees = check(
        "sees",
        "SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) AS id, current_setting('statement_timeout') AS detail",
    );
    let sleeps = check(
        "sleeps",
        "SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) AS id, CAST(pg_sleep(60) AS text) AS detail",
    );
    let checks = [sleeps, sees];
    let looked = look(&billing, &checks, PATIENCE).await;
    assert!(looked[0].found.is_err(), "{looked:#?}");
    assert_eq!(looked[1].found.as_ref().unwrap()[0].detail, "1s");
    // Longer than a request may take.
    let longer = Patience {
        each: std::time::Duration::from_secs(600),
        whole: std::time::Duration::from_secs(6_000),
    };
    let looked = look(&billing, &checks[1..], longer).await;
    assert_eq!(looked[0].found.as_ref().unwrap()[0].detail, "10min");
    // Afterwards the connections are as they were.
    assert_eq!(setting(&billing, "statement_timeout").await, "15s");
    billing.finish().await;
}

async fn setting(billing: &Billing, name: &str) -> String {
    let sql = format!("SELECT current_setting('{name}') AS found");
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = billing
        .service
        .db
        .reader()
        .query_one_raw(statement)
        .await
        .unwrap();
    row.unwrap().try_get("", "found").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_at_a_time_looks() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let db = &billing.service.db;
    // Its own, at the start.
    eventually("nobody looks any more", || async {
        show_reconciliation(db, PATIENCE).await.unwrap().map(drop)
    })
    .await;
    let waits = check(
        "waits",
        "SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) AS id, CAST(pg_sleep(60) AS text) AS detail",
    );
    let checks = [waits];
    let longer = Patience {
        each: std::time::Duration::from_secs(5),
        ..PATIENCE
    };
    let first = look(&billing, &checks, longer);
    let second = async {
        eventually("the first one looks", || async {
            let sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
            let statement = Statement::from_string(DbBackend::Postgres, sql);
            db.reader().query_one_raw(statement).await.unwrap()
        })
        .await;
        show_reconciliation(db, PATIENCE).await.unwrap()
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.len(), 1);
    assert!(second.is_none(), "another one is at it");
    assert!(show_reconciliation(db, PATIENCE).await.unwrap().is_some());
    billing.finish().await;
}

#[tokio::test]
async fn the_database_itself_refuses_what_would_break_the_books() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        customer.buy(tariff).await.expect(201);
        for sql in [
            "UPDATE accounts SET balance = -1 WHERE kind = 'wallet'",
            "UPDATE accounts SET balance = NULL WHERE kind = 'wallet'",
            "UPDATE accounts SET balance = 0 WHERE kind = 'revenue'",
            "UPDATE transfers SET amount = 1",
            "DELETE FROM transfers",
            "UPDATE postings SET amount = 1",
            "DELETE FROM postings",
            "UPDATE purchases SET state = 'pending'",
            "UPDATE purchases SET charged = 1",
            "UPDATE purchases SET discount = list_price + 1",
            "UPDATE tariffs SET price = -1",
            "INSERT INTO transfers SELECT source_id, cause_kind, cause_id, source_id, destination_id, amount, user_id, \
             balance_after, at FROM transfers",
            "INSERT INTO subscriptions (id, purchase_id, user_id, tariff_id, starts_at, ends_at) \
             SELECT user_id, purchase_id, user_id, tariff_id, starts_at, ends_at FROM subscriptions",
        ] {
            assert!(!by_hand(&billing, sql).await, "{sql}");
        }
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_waits_for_too_long_is_found() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(10_000).await;
    let tariff = billing.tariff(1_000).await;
    let (answer, hold) = billing.begin(&customer, tariff).await;
    assert!(broken_rules(&billing).await.is_empty());
    // The watch comes by every half second: just past the deadline is no finding.
    let at = |seconds| hold.deadline + Duration::seconds(seconds);
    let conn = billing.service.db.reader();
    assert!(reconcile(conn, at(10)).await.unwrap().is_empty());
    let findings = reconcile(conn, at(20)).await.unwrap();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].id, hold.purchase_id.0);
    billing.service.peers.say(&held(&hold, 0)).await;
    answer.await.unwrap().expect(201);
    billing.finish().await;
}

#[tokio::test]
async fn what_has_ended_is_reported_for_the_other_services_books() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(1_500).await;
        let tariff = billing.tariff(1_000).await;
        let (paid, hold) = billing.begin(&customer, tariff).await;
        billing.service.peers.say(&held(&hold, 100)).await;
        paid.await.unwrap().expect(201);
        customer.buy(tariff).await.expect(402);
        let between = billing.service.peers.now();
        let _pending = billing.begin(&customer, tariff).await;
        let conn = billing.service.db.reader();
        let ended = settled_purchases(conn, between + Duration::seconds(1))
            .await
            .unwrap();
        let shown: Vec<_> = ended
            .iter()
            .map(|ended| (ended.state, ended.with_promocode, ended.charged))
            .collect();
        let failed = PurchaseState::Failed(FailureReason::InsufficientFunds);
        assert_eq!(
            shown,
            [
                (PurchaseState::Paid, true, Amount(900)),
                (failed, false, Amount(0))
            ]
        );
        assert!(
            ended
                .iter()
                .all(|ended| ended.user_id == customer.id && ended.settled_at <= between)
        );
        let before = between + Duration::seconds(1);
        let mut paged = Vec::new();
        while let Some(next) = settled_page(
            conn,
            before,
            paged.last().map(|last: &SettledPurchase| last.purchase_id),
            1,
        )
        .await
        .unwrap()
        .pop()
        {
            paged.push(next);
        }
        assert_eq!(paged, ended);
        assert!(
            settled_purchases(conn, ended[0].settled_at)
                .await
                .unwrap()
                .is_empty(),
            "before, not at"
        );
        billing.finish().await;
    }
}

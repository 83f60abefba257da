//! What deleted users leave.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use billing::{
    app::{
        adjust_wallet::{AdjustWallet, adjust_wallet},
        books::Books,
        finish_top_ups::finish_top_ups,
        forfeit_wallets::forfeit_leftovers,
        top_up_wallet::{TopUpState, TopUpWallet, top_up_wallet},
    },
    domain::wallet::{Direction, OperationAmount},
    providers::PaymentProvider as _,
};
use chrono::{DateTime, Duration, Utc};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{
        FailureReason, PurchaseFailedV1, UserDeletedV1, UserStatus, UserUpdatedV1, WalletCreditedV1,
    },
    db::Db,
    ids::UserId,
    money::Amount,
    testing::{TestDatabase, eventually, new_postgres_database},
};

use crate::{Billing, Customer, DATABASES, LOYALTY, held, rub, top_ups::Scripted};

fn deleted(billing: &Billing, user: UserId, version: i64) -> UserDeletedV1 {
    UserDeletedV1(billing.user_state(user, version, UserStatus::Deleted))
}

async fn transfers(billing: &Billing, customer: &Customer) -> Vec<(Value, Value)> {
    let path = format!("/billing/v1/transfers?user_id={}", customer.id);
    let page = billing.admin.get(&path).await.expect(200);
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["cause"].clone(), item["amount"].clone()))
        .collect()
}

#[tokio::test]
async fn what_is_left_goes_to_the_platform_once_however_often_it_is_told() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let (rich, poor) = (billing.customer_with(5_000).await, billing.customer());
        let stranger = billing.service.new_user();
        billing.register(&rich).await;
        billing.register(&poor).await;
        // In one batch, twice, with one who has nothing, and one whom nobody knows.
        let batch = [
            deleted(&billing, rich.id, 2),
            deleted(&billing, poor.id, 2),
            deleted(&billing, rich.id, 2),
            deleted(&billing, stranger, 2),
        ];
        peers.deliver(&peers.seal_all(&batch)).await;
        peers.say(&deleted(&billing, rich.id, 2)).await;
        assert_eq!(
            transfers(&billing, &rich).await,
            [("forfeiture".into(), rub(-5_000)), ("top_up".into(), rub(5_000))]
        );
        assert!(transfers(&billing, &poor).await.is_empty());
        let path = format!("/billing/v1/balance?user_id={}", rich.id);
        assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(0));
        billing.finish().await;
    }
}

/// From when to when each subscription of a user runs, as an administrator sees it.
async fn terms(billing: &Billing, user: UserId) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let path = format!("/billing/v1/subscriptions?user_id={user}");
    let page = billing.admin.get(&path).await.expect(200);
    let at = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let items = page["items"].as_array().unwrap().iter();
    let mut terms: Vec<_> = items
        .map(|item| (at(&item["starts_at"]), at(&item["ends_at"])))
        .collect();
    terms.reverse();
    terms
}

#[tokio::test]
async fn subscriptions_end_once_with_the_account_and_those_to_come_never_begin() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let billing = Billing::with(database, Arc::new(clock.clone()), |_| {}).await;
        let (leaving, staying) = (billing.customer(), billing.customer());
        let tariff = billing.tariff(0).await;
        for customer in [&leaving, &staying] {
            billing.register(customer).await;
            for _ in 0..2 {
                customer.buy(tariff).await.expect(201);
            }
        }
        let (before, others) = (
            terms(&billing, leaving.id).await,
            terms(&billing, staying.id).await,
        );
        clock.advance(Duration::seconds(5));
        let gone = clock.now();
        let peers = &billing.service.peers;
        peers.say(&deleted(&billing, leaving.id, 2)).await;
        let ended = [(before[0].0, gone), (before[1].0, before[1].0)];
        assert_eq!(terms(&billing, leaving.id).await, ended);
        // Again, and by the job, after some time.
        clock.advance(Duration::seconds(5));
        peers.say(&deleted(&billing, leaving.id, 3)).await;
        let books = books_of(&billing).await;
        forfeit_leftovers(&billing.service.db, &books).await.unwrap();
        assert_eq!(terms(&billing, leaving.id).await, ended);
        assert_eq!(terms(&billing, staying.id).await, others);
        billing.finish().await;
    }
}

#[tokio::test]
async fn subscriptions_of_users_who_were_deleted_before_anybody_ended_them_end_with_the_job() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        let tariff = billing.tariff(0).await;
        billing.register(&customer).await;
        for _ in 0..2 {
            customer.buy(tariff).await.expect(201);
        }
        by_hand(&billing, "UPDATE users SET status = 'deleted'").await;
        let books = books_of(&billing).await;
        forfeit_leftovers(&billing.service.db, &books).await.unwrap();
        let now = billing.service.peers.now();
        let left = terms(&billing, customer.id).await;
        assert!(left[0].1 <= now && left[1].0 == left[1].1, "{left:?}");
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_waits_fails_when_its_buyer_is_deleted() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(5_000).await;
        billing.register(&customer).await;
        let tariff = billing.tariff(1_000).await;
        let (_answer, hold) = billing.begin(&customer, tariff).await;
        peers.say(&deleted(&billing, customer.id, 2)).await;
        peers.say(&held(&hold, 100)).await;
        let failed: PurchaseFailedV1 = peers.hears(LOYALTY, |_| true).await;
        assert_eq!(failed.reason, FailureReason::UserBlocked);
        assert_eq!(failed.balance.amount, Amount(0));
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_top_up_that_comes_late_goes_the_same_way() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let billing = Billing::with(database, Arc::new(clock.clone()), |_| {}).await;
        let provider = Scripted::named("acme");
        let db = &billing.service.db;
        let names = [provider.name().clone()];
        let books = Books::open(db.writer(), iso_currency::Currency::RUB, names, clock.now())
            .await
            .unwrap();
        let customer = billing.customer();
        billing.register(&customer).await;
        let input = TopUpWallet {
            user_id: customer.id,
            amount: OperationAmount::parse(Amount(crate::top_ups::DECIDES_THE_SECOND_TIME)).unwrap(),
            keyed: None,
            free_failures: u32::MAX,
        };
        let begun = top_up_wallet(db, &books, Some(&*provider), &input).await.unwrap();
        assert_eq!(begun.state, TopUpState::Pending);
        let peers = &billing.service.peers;
        peers.say(&deleted(&billing, customer.id, 2)).await;
        clock.advance(Duration::minutes(1));
        finish_top_ups(db, &books, &*provider).await.unwrap();
        let amount = crate::top_ups::DECIDES_THE_SECOND_TIME;
        assert_eq!(
            transfers(&billing, &customer).await,
            [
                ("forfeiture".into(), rub(-amount)),
                ("top_up".into(), rub(amount))
            ]
        );
        let path = format!("/billing/v1/top-ups/{}", begun.id);
        let shown = billing.admin.get(&path).await.expect(200);
        assert_eq!(
            (&shown["status"], &shown["balance_after"]),
            (&json!("approved"), &rub(0))
        );
        assert!(billing.said::<WalletCreditedV1>().await.is_empty());
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_among_movements_leaves_nothing_behind() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let peers = &billing.service.peers;
    let tariff = billing.tariff(100).await;
    for _ in 0..5 {
        let customer = billing.customer_with(10_000).await;
        billing.register(&customer).await;
        let event = deleted(&billing, customer.id, 2);
        // Whatever is let in before the deletion is done before it, or goes where all else goes.
        tokio::join!(
            async {
                for _ in 0..4 {
                    customer.top_up(500).await;
                    customer.withdraw(100).await;
                    customer.buy(tariff).await;
                }
            },
            peers.say(&event),
        );
        let path = format!("/billing/v1/balance?user_id={}", customer.id);
        assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(0));
    }
    billing.finish().await;
}

/// The database as a program left it that did not know of forfeiture.
async fn by_hand(billing: &Billing, sql: &str) {
    billing.service.db.writer().execute_unprepared(sql).await.unwrap();
}

async fn books_of(billing: &Billing) -> Books {
    let conn = billing.service.db.writer();
    let names = vec!["sandbox".parse().unwrap()];
    Books::open(
        conn,
        iso_currency::Currency::RUB,
        names,
        billing.service.peers.now(),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn what_was_left_before_anybody_looked_is_moved_once() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let books = books_of(&billing).await;
        let (left, alive) = (
            billing.customer_with(5_000).await,
            billing.customer_with(700).await,
        );
        for customer in [&left, &alive] {
            billing.register(customer).await;
        }
        let peers = &billing.service.peers;
        peers.say(&deleted(&billing, left.id, 2)).await;
        let again = |status: &'static str| {
            let sql = format!("UPDATE users SET status = '{status}' WHERE version = 2");
            let billing = &billing;
            async move { by_hand(billing, &sql).await }
        };
        // Twice more something is in the wallet, though its deletion has emptied it once.
        for amount in [300, 400] {
            again("active").await;
            left.top_up(amount).await.expect(200);
            again("deleted").await;
            for _ in 0..2 {
                forfeit_leftovers(&billing.service.db, &books).await.unwrap();
            }
            // Told once more, under another id.
            peers.say(&deleted(&billing, left.id, 2)).await;
        }
        let moved: Vec<_> = transfers(&billing, &left).await;
        let expected = [-400, 400, -300, 300, -5_000, 5_000].map(|amount: i64| {
            let cause = if amount < 0 { "forfeiture" } else { "top_up" };
            (json!(cause), rub(amount))
        });
        assert_eq!(moved, expected);
        assert_eq!(alive.balance().await, 700);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_second_deletion_event_moves_what_is_there_by_then() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(5_000).await;
        billing.register(&customer).await;
        let peers = &billing.service.peers;
        peers.say(&deleted(&billing, customer.id, 2)).await;
        by_hand(&billing, "UPDATE users SET status = 'active'").await;
        customer.top_up(300).await.expect(200);
        by_hand(&billing, "UPDATE users SET status = 'deleted'").await;
        peers.say(&deleted(&billing, customer.id, 2)).await;
        assert_eq!(transfers(&billing, &customer).await.len(), 4);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_starting_replica_moves_what_others_left() {
    let url = new_postgres_database().await;
    let replica = || async {
        Billing::configured(TestDatabase::Postgres, |config| {
            config.billing.database_url = Some(SecretString::from(url.as_str()));
        })
        .await
    };
    let first = replica().await;
    let customer = first.customer_with(5_000).await;
    first.register(&customer).await;
    by_hand(&first, "UPDATE users SET status = 'deleted'").await;
    let second = replica().await;
    eventually("the wallet is empty", || async {
        (transfers(&first, &customer).await.len() == 2).then_some(())
    })
    .await;
    second.finish().await;
    first.finish().await;
}

/// Waits until somebody waits for a lock in this database, or `is_done`.
async fn until_somebody_waits(db: &Db, is_done: &AtomicBool) {
    let sql =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("somebody waits for a lock", || async {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let waits = db.reader().query_one_raw(statement).await.unwrap().is_some();
        (waits || is_done.load(Ordering::SeqCst)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_that_is_made_while_its_user_is_deleted_is_emptied() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let (db, books) = (&billing.service.db, &books_of(&billing).await);
    let customer = billing.customer();
    // Known, and without a wallet.
    let known = UserUpdatedV1(billing.user_state(customer.id, 1, UserStatus::Active));
    billing.service.peers.say(&known).await;
    let input = &AdjustWallet {
        user_id: customer.id,
        by: billing.customer().id,
        direction: Direction::Credit,
        amount: OperationAmount::parse(Amount(500)).unwrap(),
        reason: "made late".parse().unwrap(),
        keyed: None,
    };
    let (made, is_done) = (&tokio::sync::Notify::new(), &AtomicBool::new(false));
    let deletes = async {
        made.notified().await;
        let deleted = deleted(&billing, customer.id, 2);
        billing.service.peers.say(&deleted).await;
        is_done.store(true, Ordering::SeqCst);
    };
    let credits = db.write(|tx| async move {
        let adjusted = adjust_wallet(&tx, books, input).await;
        made.notify_one();
        until_somebody_waits(db, is_done).await;
        adjusted
    });
    let (credited, ()) = tokio::join!(credits, deletes);
    credited.unwrap();
    let moved = transfers(&billing, &customer).await;
    assert_eq!(
        moved,
        [("forfeiture".into(), rub(-500)), ("credit".into(), rub(500))]
    );
    billing.finish().await;
}

//! What a database records of itself, and which programs it refuses.

use std::sync::Arc;

use iso_currency::Currency;
use sea_orm::ConnectionTrait as _;
use shared::{
    clock::SystemClock,
    contracts::ServiceName,
    db::Db,
    facts::{self, FactsError, Purpose},
};
use tokio::sync::Barrier;

use crate::{TestDb, postgres, sqlite};

const REPLICAS: usize = 8;

/// Another database of the same kind.
async fn another(test: &TestDb, service: ServiceName) -> (TestDb, Db) {
    let other = if test.url.starts_with("sqlite") {
        sqlite().await
    } else {
        postgres().await
    };
    let (db, _) = Db::connect(service, &empty_beside(&other).await, Arc::new(SystemClock))
        .await
        .unwrap();
    migration::up(service, db.writer()).await.unwrap();
    (other, db)
}

/// The URL of a database without tables.
async fn empty_beside(test: &TestDb) -> String {
    if test.url.starts_with("sqlite") {
        test.url.replace("test.db", "another.db")
    } else {
        shared::testing::new_postgres_database().await
    }
}

async fn the_first_currency_stays(test: TestDb) {
    let db = &test.db;
    let run = async |currency| facts::agree(&[db], currency, Purpose::Run).await;
    let command = async |currency| facts::agree(&[db], currency, Purpose::Command).await;
    // A command may be configured otherwise than the services, which have not run yet.
    command(Currency::EUR).await.unwrap();
    facts::agree(&[db], Currency::EUR, Purpose::Migrate)
        .await
        .unwrap();

    run(Currency::RUB).await.unwrap();
    run(Currency::RUB).await.unwrap();
    command(Currency::RUB).await.unwrap();
    for refused in [run(Currency::USD).await, command(Currency::USD).await] {
        let error = refused.unwrap_err();
        assert!(matches!(error, FactsError::OtherCurrency { .. }), "{error:?}");
        let shown = error.to_string();
        for named in ["loyalty", "RUB", "USD", "`currency`"] {
            assert!(shown.contains(named), "{shown}");
        }
    }
}

/// Every replica that is configured as the first one starts, and no other.
async fn one_of_many_decides(test: TestDb) {
    let barrier = Arc::new(Barrier::new(REPLICAS));
    let mut replicas = Vec::new();
    for number in 0..REPLICAS {
        let currency = if number % 2 == 0 {
            Currency::RUB
        } else {
            Currency::USD
        };
        let (db, barrier) = (crate::open(&test.url).await.0, Arc::clone(&barrier));
        replicas.push(tokio::spawn(async move {
            barrier.wait().await;
            let agreed = facts::agree(&[&db], currency, Purpose::Run).await;
            (currency, agreed)
        }));
    }
    let (mut started, mut refused) = (Vec::new(), Vec::new());
    for replica in replicas {
        match replica.await.unwrap() {
            (currency, Ok(())) => started.push(currency),
            (currency, Err(FactsError::OtherCurrency { .. })) => refused.push(currency),
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!((started.len(), refused.len()), (REPLICAS / 2, REPLICAS / 2));
    assert!(started.iter().all(|currency| *currency == started[0]));
    assert!(refused.iter().all(|currency| *currency != started[0]));
}

async fn the_database_of_another_service_is_refused(test: TestDb) {
    let as_billing = Db::connect(ServiceName::Billing, &test.url, Arc::new(SystemClock));
    let (as_billing, _) = as_billing.await.unwrap();
    let error = facts::check_owner(&as_billing).await.unwrap_err();
    assert!(matches!(error, FactsError::OtherService { .. }), "{error:?}");
    let shown = error.to_string();
    assert!(
        shown.contains("`billing.database_url`") && shown.contains("loyalty"),
        "{shown}"
    );
    facts::check_owner(&test.db).await.unwrap();
    // One without tables has no owner yet.
    let url = empty_beside(&test).await;
    let (empty, _) = Db::connect(ServiceName::Billing, &url, Arc::new(SystemClock))
        .await
        .unwrap();
    facts::check_owner(&empty).await.unwrap();
}

async fn databases_of_two_platforms_are_refused_together(test: TestDb) {
    let loyalty = &test.db;
    let (_one, auth) = another(&test, ServiceName::Auth).await;
    let (_other, another_auth) = another(&test, ServiceName::Auth).await;
    let agree = async |databases: &[&Db]| facts::agree(databases, Currency::RUB, Purpose::Migrate).await;
    agree(&[&auth, loyalty]).await.unwrap();
    let error = agree(&[&another_auth, loyalty]).await.unwrap_err();
    assert!(matches!(error, FactsError::OtherPlatform { .. }), "{error:?}");
    let shown = error.to_string();
    assert!(
        shown.contains("`auth.database_url`") && shown.contains("`loyalty.database_url`"),
        "{shown}"
    );
    // Nothing was recorded, and what belongs together still does.
    agree(&[&auth, loyalty]).await.unwrap();
}

/// Where anything contradicts, no database is marked as one of the wrong currency.
async fn nothing_is_recorded_where_anything_contradicts(test: TestDb) {
    let loyalty = &test.db;
    let (_folder, auth) = another(&test, ServiceName::Auth).await;
    facts::agree(&[loyalty], Currency::RUB, Purpose::Run)
        .await
        .unwrap();
    let wrong = facts::agree(&[&auth, loyalty], Currency::USD, Purpose::Run).await;
    assert!(matches!(
        wrong,
        Err(FactsError::OtherCurrency {
            service: ServiceName::Loyalty,
            ..
        })
    ));
    facts::agree(&[&auth, loyalty], Currency::RUB, Purpose::Run)
        .await
        .unwrap();
}

/// A database that was filled by a program that recorded nothing.
async fn the_currency_that_rows_show_is_recorded_by_the_migration(test: TestDb) {
    let db = &test.db;
    let message = r#"{"data":{"list_price":{"amount":1,"currency":"RUB"}}}"#;
    let zero = "00000000-0000-7000-8000-000000000000";
    let then = "2026-01-01T00:00:00Z";
    for sql in [
        "DROP TABLE platform_facts".to_owned(),
        "DELETE FROM seaql_migrations WHERE version LIKE '%platform_facts'".to_owned(),
        format!(
            "INSERT INTO outbox (id, body, created_at, leased_until) VALUES ('{zero}', '{message}', '{then}', '{then}')"
        ),
    ] {
        db.writer().execute_unprepared(&sql).await.unwrap();
    }
    migration::up(ServiceName::Loyalty, db.writer()).await.unwrap();
    let wrong = facts::agree(&[db], Currency::USD, Purpose::Run).await;
    assert!(
        matches!(wrong, Err(FactsError::OtherCurrency { .. })),
        "{wrong:?}"
    );
    facts::agree(&[db], Currency::RUB, Purpose::Run).await.unwrap();
}

macro_rules! on_both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$name(crate::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$name(crate::postgres().await).await;
            }
        }
    )*};
}

on_both! {
    the_first_currency_stays
    one_of_many_decides
    the_database_of_another_service_is_refused
    databases_of_two_platforms_are_refused_together
    nothing_is_recorded_where_anything_contradicts
    the_currency_that_rows_show_is_recorded_by_the_migration
}

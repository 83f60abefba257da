//! The database is migrated beside replicas at work.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait as _};
use shared::{
    clock::SystemClock,
    contracts::ServiceName,
    db::Db,
    testing::{eventually, new_postgres_database},
};

/// Takes the newest changes of two tables back, as if an older program had made them.
const OLDER: &str = "ALTER TABLE purchases DROP COLUMN refunded_at, DROP COLUMN refund_reason, DROP COLUMN refund_balance_after; \
    ALTER TABLE subscriptions DROP COLUMN cancelled_at, DROP COLUMN ending_said_at; \
    DELETE FROM seaql_migrations WHERE version IN ('m20261121_000030_refunds', 'm20261121_000031_subscriptions')";

async fn older_database() -> Db {
    let url = new_postgres_database().await;
    let (db, _) = Db::connect(ServiceName::Billing, &url, Arc::new(SystemClock))
        .await
        .unwrap();
    migration::up(ServiceName::Billing, db.writer()).await.unwrap();
    db.writer().execute_unprepared(OLDER).await.unwrap();
    db
}

async fn until_it_waits_for_a_lock(conn: &DatabaseConnection) {
    let sql =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the migration waits for a lock", || async {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        conn.query_one_raw(statement).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_meets_a_request_crosswise_is_done_all_the_same() {
    let db = &older_database().await;
    let request = db.writer().begin().await.unwrap();
    request
        .execute_unprepared("SELECT * FROM subscriptions")
        .await
        .unwrap();
    let requests = async {
        // It has changed the purchases and waits for the subscriptions, as this for the purchases.
        until_it_waits_for_a_lock(db.reader()).await;
        let read = request.execute_unprepared("SELECT * FROM purchases").await;
        request.rollback().await.unwrap();
        read
    };
    let (migrated, _) = tokio::join!(migration::up(ServiceName::Billing, db.writer()), requests);
    migrated.unwrap();
    assert_eq!(
        migration::pending(ServiceName::Billing, db.writer())
            .await
            .unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_long_behind_a_migration_that_waits() {
    let db = &older_database().await;
    let long = db.writer().begin().await.unwrap();
    long.execute_unprepared("SELECT * FROM purchases").await.unwrap();
    let others = async {
        until_it_waits_for_a_lock(db.reader()).await;
        // As long as a request may wait for a lock.
        let read = db.writer().execute_unprepared("SELECT * FROM purchases").await;
        long.rollback().await.unwrap();
        read
    };
    let (migrated, read) = tokio::join!(migration::up(ServiceName::Billing, db.writer()), others);
    read.unwrap();
    migrated.unwrap();
}

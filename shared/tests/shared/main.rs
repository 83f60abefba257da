//! The ground under the services, on real databases: transactions, outbox and inbox.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod messaging;
mod timeouts;
mod transactions;

use std::sync::Arc;

use shared::{
    clock::SystemClock,
    contracts::{Envelope, ServiceName},
    db::Db,
    testing::new_postgres_database,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A migrated database of loyalty, as good as any.
struct TestDb {
    db: Db,
    committed: mpsc::Receiver<Vec<Envelope>>,
    url: String,
    _folder: Option<TempDir>,
}

async fn sqlite() -> TestDb {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let (db, committed) = open(&url).await;
    migration::up(ServiceName::Loyalty, db.writer()).await.unwrap();
    TestDb {
        db,
        committed,
        url,
        _folder: Some(folder),
    }
}

async fn postgres() -> TestDb {
    let url = new_postgres_database().await;
    let (db, committed) = open(&url).await;
    migration::up(ServiceName::Loyalty, db.writer()).await.unwrap();
    TestDb {
        db,
        committed,
        url,
        _folder: None,
    }
}

async fn open(url: &str) -> (Db, mpsc::Receiver<Vec<Envelope>>) {
    Db::connect(ServiceName::Loyalty, url, Arc::new(SystemClock))
        .await
        .unwrap()
}

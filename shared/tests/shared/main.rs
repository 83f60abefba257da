//! The ground under the services, on real databases: transactions, outbox and inbox.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

#[allow(dead_code)] // the other suite uses more of it
#[path = "../bus_conformance/broker.rs"]
mod broker;
mod clocks;
mod facts;
mod failures;
mod messaging;
mod outages;
mod parked;
mod relay;
mod roll;
mod throttles;
mod timeouts;
mod tokens;
mod traces;
mod transactions;

use std::sync::Arc;

use shared::{
    clock::{Clock, SystemClock},
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
    sqlite_at(Arc::new(SystemClock)).await
}

async fn sqlite_at(clock: Arc<dyn Clock>) -> TestDb {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let (db, committed) = open_at(&url, clock).await;
    migration::up(ServiceName::Loyalty, db.writer()).await.unwrap();
    TestDb {
        db,
        committed,
        url,
        _folder: Some(folder),
    }
}

async fn postgres() -> TestDb {
    postgres_at(Arc::new(SystemClock)).await
}

async fn postgres_at(clock: Arc<dyn Clock>) -> TestDb {
    let url = new_postgres_database().await;
    let (db, committed) = open_at(&url, clock).await;
    migration::up(ServiceName::Loyalty, db.writer()).await.unwrap();
    TestDb {
        db,
        committed,
        url,
        _folder: None,
    }
}

async fn open(url: &str) -> (Db, mpsc::Receiver<Vec<Envelope>>) {
    open_at(url, Arc::new(SystemClock)).await
}

async fn open_at(url: &str, clock: Arc<dyn Clock>) -> (Db, mpsc::Receiver<Vec<Envelope>>) {
    Db::connect(ServiceName::Loyalty, url, clock).await.unwrap()
}

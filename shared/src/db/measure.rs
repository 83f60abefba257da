//! How the database is used, for the metrics.

use metrics::{Counter, Histogram};
use sea_orm::{
    DatabaseConnection, DatabaseConnectionType,
    sqlx::{Database, Pool},
};

use super::Db;
use crate::{
    contracts::ServiceName,
    telemetry::metrics::{TRANSACTION_BEGIN, TRANSACTIONS_REPEATED},
};

/// What every transaction counts; looked up once.
pub(super) struct Counts {
    pub(super) begin: Histogram,
    pub(super) repeated: Counter,
}

impl Counts {
    pub(super) fn of(service: ServiceName) -> Self {
        let labels = &[("service", service.as_str())];
        Self {
            begin: TRANSACTION_BEGIN.histogram(labels),
            repeated: TRANSACTIONS_REPEATED.counter(labels),
        }
    }
}

/// The connections of a pool, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Which pool: `write` and `read`, or `both` where there is one for both.
    pub pool: &'static str,
    /// Those in somebody's hands.
    pub in_use: u32,
    /// Those that are open and wait.
    pub idle: u32,
    /// How many there may be.
    pub max: u32,
}

impl Db {
    /// How the connections are used at the moment.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolUse> {
        let (writer, reader) = (self.writer(), self.reader());
        match writer.inner {
            // One pool for both; see `connect`.
            DatabaseConnectionType::SqlxPostgresPoolConnection(_) => {
                use_of("both", writer).into_iter().collect()
            }
            _ => use_of("write", writer)
                .into_iter()
                .chain(use_of("read", reader))
                .collect(),
        }
    }
}

fn use_of(name: &'static str, conn: &DatabaseConnection) -> Option<PoolUse> {
    match conn.inner {
        DatabaseConnectionType::SqlxPostgresPoolConnection(_) => {
            Some(count(name, conn.get_postgres_connection_pool()))
        }
        DatabaseConnectionType::SqlxSqlitePoolConnection(_) => {
            Some(count(name, conn.get_sqlite_connection_pool()))
        }
        _ => None,
    }
}

fn count<D: Database>(name: &'static str, pool: &Pool<D>) -> PoolUse {
    let open = pool.size();
    // Read one after the other, so that there may seem to be more idle ones than open ones.
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX).min(open);
    PoolUse {
        pool: name,
        in_use: open - idle,
        idle,
        max: pool.options().get_max_connections(),
    }
}

//! Opening a database: the one place that knows URL schemes of databases and their settings.

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr,
    sqlx::{
        Executor as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::contracts::ServiceName;

/// Connections a service keeps to PostgreSQL; more only queue inside it on few cores.
const POSTGRES_CONNECTIONS: u32 = 8;
const SQLITE_READERS: u32 = 4;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is of no database that there is.
    #[error("`{0}` is no database: use postgres://, postgresql:// or sqlite:FILE")]
    UnknownScheme(String),
    /// It does not answer.
    #[error("the database of {service} can't be opened")]
    Unreachable {
        /// Whose.
        service: ServiceName,
        /// Why.
        source: DbErr,
    },
}

/// The URL of the embedded database in `file`.
#[must_use]
pub fn url_of_file(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

/// Whether the database behind `url` is a file of this machine.
#[must_use]
pub fn is_file(url: &str) -> bool {
    url.split(':').next() == Some("sqlite")
}

/// The writing and the reading side of the database behind `url`.
pub(super) async fn open(
    service: ServiceName,
    url: &str,
) -> Result<(DatabaseConnection, DatabaseConnection), ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { service, source };
    match url.split(':').next().unwrap_or_default() {
        "postgres" | "postgresql" => {
            let pool = Database::connect(postgres(service, url))
                .await
                .map_err(unreachable)?;
            Ok((pool.clone(), pool))
        }
        "sqlite" => {
            let writer = Database::connect(sqlite(url, 1)).await.map_err(unreachable)?;
            let reader = Database::connect(sqlite(url, SQLITE_READERS))
                .await
                .map_err(unreachable)?;
            Ok((writer, reader))
        }
        scheme => Err(ConnectError::UnknownScheme(scheme.to_owned())),
    }
}

fn postgres(service: ServiceName, url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(POSTGRES_CONNECTIONS)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(4))
        .connect_timeout(Duration::from_secs(4))
        .sqlx_logging(false)
        // Nothing may hold a lock or a connection for longer than a request would wait for it.
        .map_sqlx_postgres_opts(move |options| {
            options.application_name(&format!("kopeck-{service}")).options([
                ("statement_timeout", "15s"),
                ("lock_timeout", "8s"),
                ("idle_in_transaction_session_timeout", "15s"),
                // The hook below warns "no transaction in progress" on every return to the pool.
                ("client_min_messages", "error"),
            ])
        })
        // A `begin()` whose future was dropped leaves its transaction open on the connection,
        // and what the next borrower writes there can vanish (sqlx issues 4385 and 4393).
        .map_sqlx_postgres_pool_opts(|options| {
            options.after_release(|connection, _| {
                Box::pin(async move { connection.execute("ROLLBACK").await.map(|_| true) })
            })
        });
    options
}

fn sqlite(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        // All writers queue for the one connection, so this is how long a burst may take.
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
        })
        .map_sqlx_sqlite_pool_opts(|options| {
            options.after_release(|connection, _| {
                Box::pin(async move {
                    // As on PostgreSQL, but here it is an error when no transaction is open.
                    let _ = connection.execute("ROLLBACK").await;
                    Ok(true)
                })
            })
        });
    options
}

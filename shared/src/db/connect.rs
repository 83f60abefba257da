//! Opening a database: the one place that knows URL schemes of databases and their settings.

use std::{
    fmt::Write as _,
    fs::{OpenOptions, Permissions},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{
        Connection as _, Executor as _, PgConnection,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::sync::{broadcast, mpsc};

use super::{Db, HANDOFF, Inner, clock::DbClock, measure::Counts};
use crate::{clock::Clock, config, contracts::ServiceName};

/// Connections a service keeps to PostgreSQL; more only queue inside it on few cores.
const POSTGRES_CONNECTIONS: u32 = 8;
const SQLITE_READERS: u32 = 4;
/// Prepared statements a connection keeps. A batch of each size is a statement of its own, and
/// there are some two dozen of them in a service: with the library's hundred, most were parsed and
/// planned again each time. They take memory of the server: all sizes of one insert into a broad
/// table some 8 MB of a connection, so this also bounds what long-lived connections gather.
const STATEMENTS: usize = 512;
/// For how long after its last use a connection is taken to be alive.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a connection waits for another process that writes to the same file.
pub(super) const BUSY: Duration = Duration::from_secs(10);
/// How long the first connection may take, and the tidying up of one that is given back.
const REACH: Duration = Duration::from_secs(5);

/// Why a database could not be opened. Nothing of a URL is repeated here but its scheme and, for
/// a file, the path: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is of no database that there is.
    #[error("`{0}:` is no database: use postgres://, postgresql:// or sqlite:FILE")]
    UnknownScheme(String),
    /// The URL can't be read.
    #[error(
        "the URL in `{0}.database_url` can't be read: it must be postgres://USER:PASSWORD@HOST/NAME, \
         with characters like # / ? % @ of the password percent-encoded, or sqlite:FILE"
    )]
    InvalidUrl(ServiceName),
    /// There is no such file, and none was to be made.
    #[error("the database of {service} is not there: no file {}", file.display())]
    Missing {
        /// Whose.
        service: ServiceName,
        /// Where it was looked for.
        file: PathBuf,
    },
    /// It does not answer.
    #[error("the database of {service} at {place} can't be opened")]
    Unreachable {
        /// Whose.
        service: ServiceName,
        /// Where it should be; see [`place`].
        place: String,
        /// Why.
        source: DbErr,
    },
}

/// The URL of the embedded database in `file`. Whatever a URL could misread is escaped, so that
/// a folder may have any name.
#[must_use]
pub fn url_of_file(file: &Path) -> String {
    let mut url = "sqlite:".to_owned();
    for byte in file.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                url.push(char::from(*byte))
            }
            // Writing into a String can't fail.
            _ => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
}

/// Whether the database behind `url` is a file of this machine.
#[must_use]
pub fn is_file(url: &str) -> bool {
    config::scheme_of(url) == Some("sqlite")
}

/// Where the database behind `url` is, for people: its file, or its host, port and name. Never a
/// user or a password.
///
/// # Errors
/// When the URL is of no database that there is, or can't be read.
pub fn place(service: ServiceName, url: &str) -> Result<String, ConnectError> {
    Ok(match Target::read(service, url)? {
        Target::File(options) => options.get_filename().display().to_string(),
        Target::Server(options) => {
            let host = options.get_socket().map_or_else(
                || options.get_host().to_owned(),
                |path| path.display().to_string(),
            );
            let name = options.get_database().unwrap_or_default();
            format!("{host}:{}/{name}", options.get_port())
        }
    })
}

/// What a URL stands for, once it has proved readable.
enum Target {
    File(SqliteConnectOptions),
    Server(PgConnectOptions),
}

impl Target {
    /// Reads `url` before anybody else does: the libraries below repeat all of it, password
    /// included, when they can't.
    fn read(service: ServiceName, url: &str) -> Result<Self, ConnectError> {
        let unreadable = |_| ConnectError::InvalidUrl(service);
        match config::scheme_of(url) {
            Some("postgres" | "postgresql") => {
                if !config::is_plain_server_url(url) {
                    return Err(ConnectError::InvalidUrl(service));
                }
                url.parse::<PgConnectOptions>()
                    .map(Self::Server)
                    .map_err(unreadable)
            }
            Some("sqlite") => url
                .parse::<SqliteConnectOptions>()
                .map(Self::File)
                .map_err(unreadable),
            Some(scheme) => Err(ConnectError::UnknownScheme(scheme.to_owned())),
            None => Err(ConnectError::InvalidUrl(service)),
        }
    }
}

/// Whether a database file that is not there is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    Create,
    ExistingOnly,
}

impl Db {
    /// Opens the database of `service` behind `url` without making a file: for commands that
    /// look at what is there.
    ///
    /// # Errors
    /// As [`Db::connect`], and [`ConnectError::Missing`] when there is no such file.
    pub async fn open_existing(
        service: ServiceName,
        url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        let Opened {
            writer,
            reader,
            clock,
        } = open_with(service, url, Files::ExistingOnly, clock).await?;
        // No relay: what is said stays in the outbox for the services.
        let (handoff, _) = mpsc::channel(HANDOFF);
        let (said, _) = broadcast::channel(HANDOFF);
        Ok(Self(Arc::new(Inner {
            service,
            writer,
            reader,
            clock,
            handoff,
            said,
            counts: Counts::of(service),
        })))
    }

    /// Closes every connection, for all who share it, and waits until they are closed. The last
    /// one of an embedded database tidies its file up.
    pub async fn close(&self) {
        for side in [&self.0.reader, &self.0.writer] {
            if let Err(error) = side.close_by_ref().await {
                tracing::debug!(service = %self.0.service, %error, "a connection did not close well");
            }
        }
    }
}

/// A database that was opened.
pub(super) struct Opened {
    pub(super) writer: DatabaseConnection,
    pub(super) reader: DatabaseConnection,
    pub(super) clock: Arc<DbClock>,
}

/// The database behind `url`, with its clock in the place of `machine`.
pub(super) async fn open(
    service: ServiceName,
    url: &str,
    machine: Arc<dyn Clock>,
) -> Result<Opened, ConnectError> {
    open_with(service, url, Files::Create, machine).await
}

async fn open_with(
    service: ServiceName,
    url: &str,
    files: Files,
    machine: Arc<dyn Clock>,
) -> Result<Opened, ConnectError> {
    #[allow(unused_mut)] // only what tests stand on changes them
    let (mut writer, mut reader) = connect(service, url, files).await?;
    #[cfg(feature = "testing")]
    for side in [&mut writer, &mut reader] {
        crate::testing::watch(side, url);
    }
    let place = place(service, url)?;
    let unreachable = |source| ConnectError::Unreachable {
        service,
        place,
        source,
    };
    let clock = DbClock::of(&reader, machine).await.map_err(unreachable)?;
    Ok(Opened {
        writer,
        reader,
        clock: Arc::new(clock),
    })
}

async fn connect(
    service: ServiceName,
    url: &str,
    files: Files,
) -> Result<(DatabaseConnection, DatabaseConnection), ConnectError> {
    let place = place(service, url)?;
    let unreachable = |source| ConnectError::Unreachable {
        service,
        place: place.clone(),
        source,
    };
    Ok(match Target::read(service, url)? {
        Target::Server(options) => {
            reach(&options).await.map_err(unreachable)?;
            let pool = Database::connect(postgres(service, url))
                .await
                .map_err(unreachable)?;
            (pool.clone(), pool)
        }
        Target::File(options) => {
            let file = options.get_filename();
            if files == Files::ExistingOnly && !file.exists() {
                return Err(ConnectError::Missing {
                    service,
                    file: file.to_path_buf(),
                });
            }
            keep_private(file, files);
            let writer = Database::connect(sqlite(url, 1, files))
                .await
                .map_err(unreachable)?;
            let reader = Database::connect(sqlite(url, SQLITE_READERS, files))
                .await
                .map_err(unreachable)?;
            (writer, reader)
        }
    })
}

/// Opens one connection and closes it: a pool only says that it took too long, this says why.
async fn reach(options: &PgConnectOptions) -> Result<(), DbErr> {
    let failed = |error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)));
    match tokio::time::timeout(REACH, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => connection.close().await.map_err(failed),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(failed(sea_orm::sqlx::Error::PoolTimedOut)),
    }
}

/// Addresses, hashes of passwords, keys and money are for nobody else on the machine. SQLite gives
/// the files beside it (`-wal`, `-shm`) the mode of the database. What goes wrong here shows when
/// the file is opened.
fn keep_private(file: &Path, files: Files) {
    let opened = OpenOptions::new()
        .create(files == Files::Create)
        .append(true)
        .mode(0o600)
        .open(file);
    if let Ok(opened) = opened {
        // One that was made before, by somebody less careful. Only its owner may change it.
        let _ = opened.set_permissions(Permissions::from_mode(0o600));
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
        // A round trip before each use; the hook below asks those alone that were idle for long.
        .test_before_acquire(false)
        // Nothing may hold a lock or a connection for longer than a request would wait for it.
        .map_sqlx_postgres_opts(move |options| {
            let options = options.statement_cache_capacity(STATEMENTS);
            options.application_name(&format!("kopeck-{service}")).options([
                ("statement_timeout", "15s"),
                ("lock_timeout", "8s"),
                ("idle_in_transaction_session_timeout", "15s"),
                // The hook below warns "no transaction in progress" on every return to the pool.
                ("client_min_messages", "error"),
            ])
        })
        // One that was in use a moment ago needs no question whether it still is; if the server
        // has gone since, the use says so itself.
        // A `begin()` whose future was dropped leaves its transaction open on the connection,
        // and what the next borrower writes there can vanish (sqlx issues 4385 and 4393).
        .map_sqlx_postgres_pool_opts(|options| {
            options
                .before_acquire(|connection, meta| {
                    Box::pin(async move { Ok(meta.idle_for < TRUSTED || connection.ping().await.is_ok()) })
                })
                .after_release(|connection, _| {
                    Box::pin(async move {
                        // One on which nobody answers must not keep its place in the pool.
                        match tokio::time::timeout(REACH, connection.execute("ROLLBACK")).await {
                            Ok(done) => done.map(|_| true),
                            Err(_) => Err(sea_orm::sqlx::Error::PoolTimedOut),
                        }
                    })
                })
        });
    options
}

fn sqlite(url: &str, connections: u32, files: Files) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        // All writers queue for the one connection, so this is how long a burst may take.
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .create_if_missing(files == Files::Create)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY)
                // What is erased is to be gone, and not only unlinked.
                .pragma("secure_delete", "ON")
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

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: ServiceName = ServiceName::Billing;

    #[test]
    fn nothing_of_a_url_that_cannot_be_read_is_repeated() {
        for url in [
            "postgres://kopeck:hunter2/x@db/billing",
            "postgres://kopeck:#hunter2@db/billing",
            "postgres://kopeck:?hunter2@db/billing",
            "postgres://kopeck:12/hunter2@db/billing",
            "postgres:hunter2",
            "kopeck_hunter2_and_no_scheme",
            "hunter2://db/billing",
            "",
        ] {
            let error = place(SERVICE, url).unwrap_err();
            assert!(matches!(error, ConnectError::InvalidUrl(_)), "{error:?}");
            assert!(error.to_string().contains("billing.database_url"), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_place_is_shown_without_credentials() {
        let shown = place(SERVICE, "postgres://kopeck:hunter2@db:5433/billing").unwrap();
        assert_eq!(shown, "db:5433/billing");
    }

    #[test]
    fn a_file_may_have_any_name() {
        for name in ["/tmp/a b%20?c#d/é.db", "data/x.db", "/a/b:c/\"'.db"] {
            assert_eq!(place(SERVICE, &url_of_file(Path::new(name))).unwrap(), name);
        }
    }
}

//! A service's database, and the transaction that can also speak.
//!
//! SQLite and PostgreSQL alike; which one is decided by the URL, here and nowhere else.

mod clock;
mod connect;
mod measure;
mod tidy;
mod tx;

use std::{fmt, sync::Arc, time::Duration};

use rand::RngExt as _;
use sea_orm::{
    DatabaseConnection, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::sync::{broadcast, mpsc};

use clock::DbClock;
pub use connect::{ConnectError, is_file, place, url_of_file};
use measure::Counts;
pub use measure::PoolUse;
pub(crate) use tidy::TidyFile;
use tx::Committed;
pub use tx::Tx;

use crate::{
    clock::{Clock, Instant},
    contracts::{Envelope, ServiceName},
};

/// How often a transaction that lost a race (deadlock, serialization, busy) is run again.
const ATTEMPTS: u32 = 8;

/// Committed batches that may wait for the relay in memory; what does not fit is found by its poller.
const HANDOFF: usize = 4_096;

/// How long an answer of PostgreSQL, or a whole transaction, is waited for. It is longer than the
/// server lets a statement run or a transaction idle (see [`connect`]): what takes this long is most
/// likely a connection on which nobody answers any more, and which by itself never ends in an error.
const LONGEST: Duration = Duration::from_secs(20);

/// A service's database.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    service: ServiceName,
    /// For transactions that write. On SQLite a single connection: one writer is as fast as
    /// eight there, and none of them ever finds the database busy.
    writer: DatabaseConnection,
    /// For reads outside transactions. On PostgreSQL the same pool.
    reader: DatabaseConnection,
    clock: Arc<DbClock>,
    handoff: mpsc::Sender<Vec<Envelope>>,
    said: broadcast::Sender<Arc<Envelope>>,
    counts: Counts,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("service", &self.0.service)
            .finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database of `service` behind `url` (`sqlite:FILE` or `postgres://…`). The second
    /// value receives what transactions emitted, after their commit; it is the relay's.
    ///
    /// # Errors
    /// When the URL is of no database that there is, or the database can't be reached.
    pub async fn connect(
        service: ServiceName,
        url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<Vec<Envelope>>), ConnectError> {
        let connect::Opened {
            writer,
            reader,
            clock,
        } = connect::open(service, url, clock).await?;
        let (handoff, committed) = mpsc::channel(HANDOFF);
        let (said, _) = broadcast::channel(HANDOFF);
        let db = Self(Arc::new(Inner {
            service,
            writer,
            reader,
            clock,
            handoff,
            said,
            counts: Counts::of(service),
        }));
        Ok((db, committed))
    }

    /// Whose database it is.
    #[must_use]
    pub fn service(&self) -> ServiceName {
        self.0.service
    }

    /// For reads that decide nothing: lists, views.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    /// For migrations, which keep transactions of their own.
    #[must_use]
    pub fn writer(&self) -> &DatabaseConnection {
        &self.0.writer
    }

    /// The present instant by the database's clock, which all replicas share. It never goes back, unless
    /// that clock itself is set back by more than some seconds.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// The database's clock, for what is timed beside it.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock) as Arc<dyn Clock>
    }

    /// Measures how far this machine's clock is ahead of the database's, in seconds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn measure_clock(&self) -> Result<f64, DbErr> {
        self.0.clock.measure(self.0.service, &self.0.reader).await
    }

    /// The same, as it was measured last.
    #[must_use]
    pub fn clock_offset(&self) -> f64 {
        self.0.clock.offset()
    }

    /// Hears every message of this process's own commits, before it travels.
    #[must_use]
    pub fn said(&self) -> broadcast::Receiver<Arc<Envelope>> {
        self.0.said.subscribe()
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DbErr> {
        bounded(self.0.writer.ping()).await
    }

    /// Runs `work` in one transaction and commits it together with everything it emitted. When
    /// the transaction loses a race (deadlock, serialization failure, busy database) it is
    /// rolled back and `work` runs again from the start; so `work` must touch nothing but the
    /// transaction, which it must not keep.
    ///
    /// # Errors
    /// What `work` returns; then nothing is written and nothing is said. A race is recognised in
    /// the error and its sources, as [`lost_a_race`] does.
    pub async fn write<T, E, W>(&self, work: impl Fn(Arc<Tx>) -> W) -> Result<T, E>
    where
        E: std::error::Error + From<DbErr> + 'static,
        W: Future<Output = Result<T, E>>,
    {
        let mut attempt = 1;
        loop {
            let outcome = match self.0.writer.get_database_backend() {
                // Who writes there may have many others before them.
                DbBackend::Sqlite => self.write_once(&work).await,
                _ => bounded(self.write_once(&work)).await,
            };
            match outcome {
                Err(error) if attempt < ATTEMPTS && lost_a_race(&error) => {
                    tracing::debug!(service = %self.0.service, attempt, %error, "transaction lost a race, running it again");
                    self.0.counts.repeated.increment(1);
                    let pause = rand::rng().random_range(1..=8_u64 << attempt.min(6));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok((value, committed)) => {
                    self.follow(committed).await;
                    return Ok(value);
                }
            }
        }
    }

    async fn write_once<T, E, W>(&self, work: &impl Fn(Arc<Tx>) -> W) -> Result<(T, Committed), E>
    where
        E: From<DbErr>,
        W: Future<Output = Result<T, E>>,
    {
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.0.writer.get_database_backend() == DbBackend::Sqlite)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let asked_at = std::time::Instant::now();
        let transaction = self.0.writer.begin_with_options(options).await?;
        self.0.counts.begin.record(asked_at.elapsed());
        let tx = Arc::new(Tx::new(transaction, self.0.service, self.0.clock.now()));
        let outcome = work(Arc::clone(&tx)).await;
        match (outcome, Arc::into_inner(tx)) {
            (Ok(value), Some(tx)) => Ok((value, tx.commit().await?)),
            (Ok(_), None) => Err(DbErr::Custom("the transaction is still in use".to_owned()).into()),
            (Err(error), tx) => {
                if let Some(tx) = tx {
                    tx.rollback().await;
                }
                Err(error)
            }
        }
    }

    /// What follows from a commit. Not in its time: it stands, however long this takes.
    async fn follow(&self, committed: Committed) {
        let said: Vec<_> = committed.emitted.iter().cloned().map(Arc::new).collect();
        if !said.is_empty() {
            // A full channel, or no relay in this process, is fine: the rows are in the outbox.
            let _ = self.0.handoff.try_send(committed.emitted);
        }
        // Before anybody is woken, who then finds everything as this transaction left it.
        for work in committed.afterwards {
            work.await;
        }
        for envelope in said {
            // Nobody listening is fine.
            let _ = self.0.said.send(envelope);
        }
    }
}

/// Gives up `work` for which the database has not answered in a long time, as an outage.
///
/// For whatever nobody else bounds, since a connection can go silent for good: when something on
/// the way has forgotten it, neither side ever hears of that. A request's reads are bounded with it.
///
/// # Errors
/// What `work` returns, or that there was no answer.
pub async fn bounded<T, E: From<DbErr>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(LONGEST, work).await.unwrap_or_else(|_| {
        let why = format!("no answer for {} s", LONGEST.as_secs());
        Err(DbErr::Conn(RuntimeErr::Internal(why)).into())
    })
}

const RACE: &str = "lost a race: ";

/// An error that makes [`Db::write`] run its work again: another transaction did at the same time
/// what this one has decided to do, so that it must look again. `what` is for the log.
#[must_use]
pub fn race(what: &str) -> DbErr {
    DbErr::Custom(format!("{RACE}{what}"))
}

/// Whether the error, or one of its sources, is the database telling that a concurrent
/// transaction won and this one is to be run again, or a [`race`].
#[must_use]
pub fn lost_a_race(error: &(dyn std::error::Error + 'static)) -> bool {
    if chain(error)
        .filter_map(|error| error.downcast_ref::<DbErr>())
        .any(|error| matches!(error, DbErr::Custom(text) if text.starts_with(RACE)))
    {
        return true;
    }
    match sqlx_error(error).and_then(code) {
        // serialization_failure, deadlock_detected
        Some(Code::SqlState(code)) => matches!(code.as_str(), "40001" | "40P01"),
        // BUSY, and the extended codes that say why.
        Some(Code::Sqlite(primary)) => primary == 5,
        None => false,
    }
}

/// Whether the error, or one of its sources, comes from the database's connection or its machine
/// rather than from what was asked of it, so that the same will work once the database is back.
///
/// A lock or a statement that took too long is no outage: there may be something about the one
/// who asks that makes it so each time.
#[must_use]
pub fn is_outage(error: &(dyn std::error::Error + 'static)) -> bool {
    use sea_orm::sqlx::Error as Sqlx;
    if chain(error)
        .filter_map(|error| error.downcast_ref::<DbErr>())
        .any(|error| matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)))
    {
        return true;
    }
    let Some(error) = sqlx_error(error) else {
        return false;
    };
    match error {
        Sqlx::Io(_)
        | Sqlx::Tls(_)
        | Sqlx::PoolTimedOut
        | Sqlx::PoolClosed
        | Sqlx::WorkerCrashed
        | Sqlx::Protocol(_) => true,
        _ => match code(error) {
            // Classes 08: connection; 53: out of resources. 57P01 to 57P05: shutdown, crash, not
            // yet up, dropped, idle. 58030: I/O. 25006: read-only, a replica that was the primary.
            Some(Code::SqlState(code)) => {
                ["08", "53", "57P0"].iter().any(|start| code.starts_with(start))
                    || matches!(code.as_str(), "58030" | "25006")
            }
            // IOERR, FULL, CANTOPEN
            Some(Code::Sqlite(primary)) => matches!(primary, 10 | 13 | 14),
            None => false,
        },
    }
}

/// Whether the error, or one of its sources, is the database giving up a lock or a statement that
/// took longer than it may. It may well work when there is less to do.
#[must_use]
pub fn took_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    // lock_not_available, query_canceled
    matches!(
        sqlx_error(error).and_then(code),
        Some(Code::SqlState(code)) if matches!(code.as_str(), "55P03" | "57014")
    )
}

/// Whether the error, or one of its sources, is the database giving up the wait for a lock.
#[must_use]
pub fn is_locked_out(error: &(dyn std::error::Error + 'static)) -> bool {
    // lock_not_available
    matches!(sqlx_error(error).and_then(code), Some(Code::SqlState(code)) if code == "55P03")
}

/// Whether the error is the database refusing a second row with the same unique key.
#[must_use]
pub fn is_duplicate(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

/// The error and its sources.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// What sqlx said. `RuntimeErr` does not offer it as its source, so that the chain ends there,
/// and an error that is transparent hides the `DbErr` itself.
fn sqlx_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a sea_orm::sqlx::Error> {
    chain(error).find_map(|error| {
        let runtime = match error.downcast_ref::<DbErr>() {
            Some(DbErr::Exec(error) | DbErr::Query(error) | DbErr::Conn(error)) => Some(error),
            _ => error.downcast_ref::<RuntimeErr>(),
        };
        match runtime {
            Some(RuntimeErr::SqlxError(error)) => Some(error.as_ref()),
            _ => error.downcast_ref::<sea_orm::sqlx::Error>(),
        }
    })
}

/// How a database names an error.
enum Code {
    /// PostgreSQL: five characters.
    SqlState(String),
    /// SQLite: a number, without what extends it.
    Sqlite(u32),
}

fn code(error: &sea_orm::sqlx::Error) -> Option<Code> {
    let code = error.as_database_error()?.code()?;
    match code.parse::<u32>() {
        // The largest that SQLite has is of four digits.
        Ok(number) if code.len() < 5 => Some(Code::Sqlite(number & 0xff)),
        _ => Some(Code::SqlState(code.into_owned())),
    }
}

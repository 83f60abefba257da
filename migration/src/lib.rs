//! The databases' migrations: one folder a service, the same on SQLite and PostgreSQL.
//!
//! Instants have no database default: SQLite's text for them is another than ours, and
//! comparisons would go wrong silently. Values are always set by the services.

pub mod auth;
mod awaiting;
pub mod billing;
mod facts;
pub mod loyalty;
mod messaging;
pub mod notifications;
mod operation;
mod throttles;
mod typed;
mod users;

use std::{collections::HashSet, time::Duration};

use sea_orm_migration::{
    IntoSchemaManagerConnection, MigratorTrait, SchemaManager,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _,
        SqliteTransactionMode, TransactionOptions, TransactionTrait,
    },
    seaql_migrations,
};
use shared::{contracts::ServiceName, db};
use tokio::time::Instant;

/// Replicas of a service that migrate at once take this lock, one after another. PostgreSQL keeps
/// such locks a database, so that services, which have one each, never wait for each other.
const LOCK: i64 = 0x6b6f_7065_636b;

/// For how long a migration waits for a table: whoever comes after it waits as long, to read it too.
const TABLE_LOCK: &str = "4s";
/// For how long it is tried again.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whether one migration was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The migration.
    pub name: String,
    /// Whether it was applied.
    pub applied: bool,
}

/// Brings the database of `service` up to date: a new one in one transaction, another one migration by
/// migration, so that a long one keeps nobody from what an earlier one has changed. Safe to run in
/// several processes at once, and beside replicas at work: where a table is in use for long it lets go
/// of all others, so that nobody has to wait behind it, and tries again for some minutes. A database
/// that lacks nothing is left alone, also if a newer program has migrated it further.
///
/// # Errors
/// When the database refuses, or was migrated by another line of programs than this one; then it
/// is as the last migration left it that was done.
pub async fn up(service: ServiceName, conn: &DatabaseConnection) -> Result<(), DbErr> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match up_once(service, conn).await {
            Err(error) if in_the_way(&error) && Instant::now() < deadline => {
                tracing::warn!(%service, %error, "the migration finds a table in use; it is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Ok(lacks_more) if lacks_more => pause = FIRST_PAUSE,
            done => return done.map(drop),
        }
    }
}

/// Whether others, who use a table, have kept the migration from it; they go on after it has let go.
fn in_the_way(error: &DbErr) -> bool {
    db::lost_a_race(error) || db::is_locked_out(error)
}

/// One step; whether there is another one.
async fn up_once(service: ServiceName, conn: &DatabaseConnection) -> Result<bool, DbErr> {
    let sqlite = conn.get_database_backend() == DbBackend::Sqlite;
    let options = TransactionOptions {
        sqlite_transaction_mode: sqlite.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = conn.begin_with_options(options).await?;
    if !sqlite {
        // A migration may rewrite a large table: the bounds of requests are not for it, nor for
        // its wait for another replica's.
        transaction
            .execute_unprepared(&format!(
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '120s'; \
                 SELECT pg_advisory_xact_lock({LOCK}); SET LOCAL lock_timeout = '{TABLE_LOCK}'"
            ))
            .await?;
    }
    // Looked at under the lock: another replica may have just done it.
    let status = status(service, &transaction).await?;
    let pending = status.iter().filter(|migration| !migration.applied).count();
    // Nobody works on a new database yet.
    let steps = if pending == status.len() { None } else { Some(1) };
    if pending > 0 {
        apply(service, &transaction, steps).await?;
    }
    transaction.commit().await?;
    Ok(pending > 1 && steps.is_some())
}

async fn apply(
    service: ServiceName,
    transaction: &DatabaseTransaction,
    steps: Option<u32>,
) -> Result<(), DbErr> {
    match service {
        ServiceName::Auth => auth::Migrator::up(transaction, steps).await,
        ServiceName::Loyalty => loyalty::Migrator::up(transaction, steps).await,
        ServiceName::Billing => billing::Migrator::up(transaction, steps).await,
        ServiceName::Notifications => notifications::Migrator::up(transaction, steps).await,
    }
}

/// Every migration of `service` that this program knows, oldest first.
#[must_use]
pub fn known(service: ServiceName) -> Vec<String> {
    let migrations = match service {
        ServiceName::Auth => auth::Migrator::migrations(),
        ServiceName::Loyalty => loyalty::Migrator::migrations(),
        ServiceName::Billing => billing::Migrator::migrations(),
        ServiceName::Notifications => notifications::Migrator::migrations(),
    };
    migrations
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect()
}

/// Every migration of `service` that this program knows, oldest first, and whether it was
/// applied. Changes nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn status<'c>(
    service: ServiceName,
    conn: impl IntoSchemaManagerConnection<'c>,
) -> Result<Vec<Applied>, DbErr> {
    let applied: HashSet<_> = applied(conn).await?.into_iter().collect();
    Ok(known(service)
        .into_iter()
        .map(|name| Applied {
            applied: applied.contains(&name),
            name,
        })
        .collect())
}

/// How many migrations the database of `service` lacks. One that a newer program has migrated
/// further lacks none: migrations leave in place what the program before them needs, so that old
/// replicas go on until they are replaced. That it is further goes to the log.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(service: ServiceName, conn: &DatabaseConnection) -> Result<usize, DbErr> {
    let known = known(service);
    let applied = applied(conn).await?;
    for name in applied.iter().filter(|name| !known.contains(name)) {
        tracing::warn!(%service, migration = name, "the database was migrated by a newer program");
    }
    Ok(known.iter().filter(|name| !applied.contains(name)).count())
}

/// The names of all migrations that were applied, known or not.
async fn applied<'c>(conn: impl IntoSchemaManagerConnection<'c>) -> Result<Vec<String>, DbErr> {
    let manager = SchemaManager::new(conn);
    if !manager.has_table("seaql_migrations").await? {
        return Ok(Vec::new());
    }
    let rows = seaql_migrations::Entity::find()
        .all(manager.get_connection())
        .await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

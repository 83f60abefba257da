//! The databases' migrations: one folder a service, the same on SQLite and PostgreSQL.
//!
//! Instants have no database default: SQLite's text for them is another than ours, and
//! comparisons would go wrong silently. Values are always set by the services.

pub mod auth;
pub mod billing;
pub mod loyalty;
mod messaging;
pub mod notifications;
mod users;

use sea_orm_migration::{
    MigrationStatus, MigratorTrait,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
        TransactionOptions, TransactionTrait,
    },
};
use shared::contracts::ServiceName;

/// All replicas of all services that migrate on one PostgreSQL take this lock, one after another.
const LOCK: i64 = 0x6b6f_7065_636b;

/// Whether one migration was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The migration.
    pub name: String,
    /// Whether it was applied.
    pub applied: bool,
}

/// Brings the database of `service` up to date. All or nothing, and safe to run in several
/// processes at once.
///
/// # Errors
/// When the database refuses; then it is as it was.
pub async fn up(service: ServiceName, conn: &DatabaseConnection) -> Result<(), DbErr> {
    let sqlite = conn.get_database_backend() == DbBackend::Sqlite;
    let options = TransactionOptions {
        sqlite_transaction_mode: sqlite.then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = conn.begin_with_options(options).await?;
    if !sqlite {
        transaction
            .execute_unprepared(&format!(
                "SET LOCAL lock_timeout = '120s'; SELECT pg_advisory_xact_lock({LOCK})"
            ))
            .await?;
    }
    apply(service, &transaction).await?;
    transaction.commit().await
}

async fn apply(service: ServiceName, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    match service {
        ServiceName::Auth => auth::Migrator::up(transaction, None).await,
        ServiceName::Loyalty => loyalty::Migrator::up(transaction, None).await,
        ServiceName::Billing => billing::Migrator::up(transaction, None).await,
        ServiceName::Notifications => notifications::Migrator::up(transaction, None).await,
    }
}

/// Every migration of `service`, oldest first, and whether it was applied. Changes nothing.
///
/// # Errors
/// When the database does not answer, or has migrations that this program does not know.
pub async fn status(service: ServiceName, conn: &DatabaseConnection) -> Result<Vec<Applied>, DbErr> {
    let migrations = match service {
        ServiceName::Auth => auth::Migrator::get_migration_with_status_read_only(conn).await,
        ServiceName::Loyalty => loyalty::Migrator::get_migration_with_status_read_only(conn).await,
        ServiceName::Billing => billing::Migrator::get_migration_with_status_read_only(conn).await,
        ServiceName::Notifications => {
            notifications::Migrator::get_migration_with_status_read_only(conn).await
        }
    }?;
    Ok(migrations
        .iter()
        .map(|migration| Applied {
            name: migration.name().to_owned(),
            applied: migration.status() == MigrationStatus::Applied,
        })
        .collect())
}

/// How many migrations the database of `service` lacks.
///
/// # Errors
/// As [`status`].
pub async fn pending(service: ServiceName, conn: &DatabaseConnection) -> Result<usize, DbErr> {
    Ok(status(service, conn)
        .await?
        .iter()
        .filter(|migration| !migration.applied)
        .count())
}

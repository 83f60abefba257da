//! Looks tariffs up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{clock::Instant, contracts::TariffStatus, ids::TariffId};

use super::After;
use crate::{domain::tariff::Tariff, store};

/// The tariff `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn read_tariff(conn: &impl ConnectionTrait, id: TariffId) -> Result<Option<Tariff>, DbErr> {
    store::tariff::find(conn, id).await
}

/// At most `limit` tariffs with their instants of creation, newest first; those of `status`, or all.
///
/// # Errors
/// When the database does not answer.
pub async fn list_tariffs(
    conn: &impl ConnectionTrait,
    status: Option<TariffStatus>,
    after: After,
    limit: u64,
) -> Result<Vec<(Tariff, Instant)>, DbErr> {
    store::tariff::list(conn, status, after, limit).await
}

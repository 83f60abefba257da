//! Looks top-ups up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::TopUpId;

use super::top_up_wallet::TopUp;
use crate::store;

/// The top-up `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn read_top_up(conn: &impl ConnectionTrait, id: TopUpId) -> Result<Option<TopUp>, DbErr> {
    store::top_up::find(conn, id).await
}

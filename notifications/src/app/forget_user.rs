//! Nobody who has deleted their account gets mail.

use sea_orm::DbErr;
use shared::{db::Tx, ids::UserId};

use super::send_mails::DELETED;
use crate::store;

/// Gives up what waits to be mailed to `users`, and forgets what they preferred.
///
/// # Errors
/// When the database refuses.
pub async fn forget_users(tx: &Tx, users: &[UserId]) -> Result<(), DbErr> {
    store::mail::skip_all(tx.conn(), users.iter().copied(), DELETED, tx.now()).await?;
    store::preference::forget(tx.conn(), users.iter().copied()).await
}

//! What users typed goes with their accounts.

use sea_orm::DbErr;
use shared::{db::Tx, ids::UserId, users};

use crate::store;

/// Forgets the idempotency keys that those of `users` chose who are deleted, and what they typed as
/// promocodes. Nobody who is deleted repeats a request, since they can make none.
///
/// # Errors
/// When the database refuses.
pub async fn forget_users(tx: &Tx, users: impl IntoIterator<Item = UserId>) -> Result<(), DbErr> {
    let deleted = users::deleted_to_forget(tx.conn(), users).await?;
    if deleted.is_empty() {
        return Ok(());
    }
    store::idempotency::forget(tx.conn(), &deleted).await?;
    store::purchase::forget_what_was_typed(tx.conn(), &deleted).await
}

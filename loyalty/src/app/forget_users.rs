//! Nobody who has deleted their account is in a group or is granted anything, and what they typed is
//! not kept.

use sea_orm::DbErr;
use shared::{db::Tx, ids::UserId, users};

use crate::store;

/// Takes those of `users` who are deleted out of their groups, takes back what was granted to them
/// (what was used stays used), and empties what they typed where there is no such promocode.
///
/// What others write meanwhile that goes with an account is either there already when this looks for
/// it, or not written: see [`users::deleted_among`].
pub(crate) async fn forget_users(tx: &Tx, users: impl IntoIterator<Item = UserId>) -> Result<(), DbErr> {
    let deleted = users::deleted_to_forget(tx.conn(), users).await?;
    if deleted.is_empty() {
        return Ok(());
    }
    store::groups::remove_everywhere(tx.conn(), &deleted).await?;
    store::grants::delete_of_users(tx.conn(), &deleted).await?;
    store::redemptions::forget_what_was_typed(tx.conn(), &deleted).await?;
    store::refusals::forget_what_was_typed(tx.conn(), &deleted).await
}

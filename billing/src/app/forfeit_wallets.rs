//! What deleted users leave goes to an account of the platform.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{contracts::UserStatus, db::Tx, ids::UserId, users};

use super::{books::Books, movements::Movements};
use crate::domain::ledger::Cause;

/// Empties the wallets of those of `users` who are deleted; one that is empty stays as it is.
///
/// What comes later, by a top-up or a refund that was under way, is moved on by the transaction that
/// brings it: it reads the user's status after it has locked the wallet.
///
/// # Errors
/// When the database refuses.
pub async fn forfeit_wallets(
    tx: &Tx,
    books: &Books,
    users: impl IntoIterator<Item = UserId>,
) -> Result<(), DbErr> {
    let users: BTreeSet<_> = users.into_iter().collect();
    let mut movements = Movements::of_existing(tx, books, &users).await?;
    let known = users::find_many(tx.conn(), users.iter().copied()).await?;
    for user in users {
        let status = known.get(&user).map(|known| known.status);
        if status == Some(UserStatus::Deleted) {
            movements.forfeit(user, Cause::Forfeiture(user.0))?;
        }
    }
    movements.write().await
}

//! Opens wallets for those who registered.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{db::Tx, ids::UserId};

use crate::store;

/// Opens empty wallets for those of `users` who have none.
///
/// # Errors
/// When the database refuses.
pub async fn open_wallets(tx: &Tx, users: impl IntoIterator<Item = UserId>) -> Result<(), DbErr> {
    let users: BTreeSet<_> = users.into_iter().collect();
    store::account::open_wallets(tx.conn(), &users, tx.now()).await
}

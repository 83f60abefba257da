//! Looks wallets up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{ids::UserId, money::Amount};

use super::After;
use crate::store;
pub use crate::store::transfer::WalletTransfer;

/// What the wallet of `user` holds; zero if there is none yet.
///
/// # Errors
/// When the database does not answer.
pub async fn read_balance(conn: &impl ConnectionTrait, user: UserId) -> Result<Amount, DbErr> {
    Ok(store::account::balance(conn, user).await?.unwrap_or(Amount::ZERO))
}

/// At most `limit` transfers of the wallet of `user`, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_transfers(
    conn: &impl ConnectionTrait,
    user: UserId,
    after: After,
    limit: u64,
) -> Result<Vec<WalletTransfer>, DbErr> {
    store::transfer::list(conn, user, after, limit).await
}

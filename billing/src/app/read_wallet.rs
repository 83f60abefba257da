//! Looks wallets up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{ids::UserId, money::Amount};

use crate::store;
pub use crate::store::transfer::{TransferFilter, WalletTransfer};

/// What the wallet of `user` holds; zero if there is none yet.
///
/// # Errors
/// When the database does not answer.
pub async fn read_balance(conn: &impl ConnectionTrait, user: UserId) -> Result<Amount, DbErr> {
    Ok(store::account::balance(conn, user).await?.unwrap_or(Amount::ZERO))
}

/// The transfers that `filter` asks for, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_transfers(
    conn: &impl ConnectionTrait,
    filter: &TransferFilter,
) -> Result<Vec<WalletTransfer>, DbErr> {
    store::transfer::list(conn, filter).await
}

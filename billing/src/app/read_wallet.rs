//! Looks wallets up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    ids::{AdjustmentId, UserId},
    money::Amount,
};

pub use crate::store::transfer::{TransferFilter, WalletTransfer};
use crate::{domain::ledger::Cause, store};

/// What the wallet of `user` holds; zero if there is none yet.
///
/// # Errors
/// When the database does not answer.
pub async fn read_balance(conn: &impl ConnectionTrait, user: UserId) -> Result<Amount, DbErr> {
    Ok(store::account::balance(conn, user).await?.unwrap_or(Amount::ZERO))
}

/// A transfer, and why an administrator made it, if one did.
#[derive(Clone, Debug)]
pub struct TransferView {
    /// The movement.
    pub transfer: WalletTransfer,
    /// In the administrator's words.
    pub reason: Option<String>,
}

/// The transfers that `filter` asks for, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_transfers(
    conn: &impl ConnectionTrait,
    filter: &TransferFilter,
) -> Result<Vec<TransferView>, DbErr> {
    let transfers = store::transfer::list(conn, filter).await?;
    let adjusted: Vec<_> = transfers.iter().filter_map(adjustment_of).collect();
    let mut reasons = store::adjustment::reasons(conn, &adjusted).await?;
    Ok(transfers
        .into_iter()
        .map(|transfer| TransferView {
            reason: adjustment_of(&transfer).and_then(|id| reasons.remove(&id)),
            transfer,
        })
        .collect())
}

const fn adjustment_of(transfer: &WalletTransfer) -> Option<AdjustmentId> {
    match transfer.cause {
        Cause::Credit(id) | Cause::Debit(id) => Some(id),
        Cause::TopUp(_)
        | Cause::Withdrawal(_)
        | Cause::Purchase(_)
        | Cause::Refund(_)
        | Cause::Forfeiture(_) => None,
    }
}

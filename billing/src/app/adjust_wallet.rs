//! An administrator puts money into a wallet, or takes it out, with a reason.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::{UserStatus, WalletCreditedV1, WalletDebitedV1},
    db::Tx,
    ids::{AdjustmentId, UserId},
    justification::Justification,
    money::OutOfRange,
    users,
};

use super::{
    books::Books,
    claim_key::{Claim, ClaimError, Keyed, Operation, claim_key},
    movements::{Moved, Movements},
};
pub use crate::store::adjustment::entity::Model as Adjustment;
use crate::{
    domain::{
        ledger::{Cause, Movement},
        wallet::{Direction, InsufficientFunds, OperationAmount, credit, debit},
    },
    store::{self, adjustment::entity::Direction as StoredDirection},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct AdjustWallet {
    /// Whose wallet.
    pub user_id: UserId,
    /// The administrator.
    pub by: UserId,
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub amount: OperationAmount,
    /// Why.
    pub reason: Justification,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
}

/// Why nothing was moved. A key that was sent with it still is a new one.
#[derive(Debug, thiserror::Error)]
pub enum AdjustError {
    /// Nobody knows the user.
    #[error("there is no such user")]
    NoSuchUser,
    /// The wallet is the administrator's own.
    #[error("an account can't adjust its own wallet")]
    Own,
    /// The user is deleted.
    #[error("the user is deleted")]
    UserDeleted,
    /// The wallet holds too little.
    #[error("the wallet holds too little")]
    Insufficient(#[from] InsufficientFunds),
    /// The sum does not fit.
    #[error("the wallet can't hold that much")]
    OutOfRange(#[from] OutOfRange),
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Moves the money, says so and writes it down; finds the adjustment if this is a repeat. A blocked
/// user's wallet can be adjusted like others.
///
/// # Errors
/// When nothing was moved.
pub async fn adjust_wallet(tx: &Tx, books: &Books, input: &AdjustWallet) -> Result<Adjustment, AdjustError> {
    if input.user_id == input.by {
        return Err(AdjustError::Own);
    }
    let id = AdjustmentId::new(tx.now());
    let operation = Operation {
        user_id: input.by,
        kind: "adjustment",
        id: id.0,
    };
    if let Claim::Repeat(first) = claim_key(tx, input.keyed.as_ref(), operation).await? {
        let first = store::adjustment::find(tx.conn(), AdjustmentId(first)).await?;
        return Ok(first.ok_or_else(|| DbErr::RecordNotFound("the adjustment of a key".to_owned()))?);
    }
    let mut movements = Movements::of_one(tx, books, input.user_id).await?;
    // After the lock, so that a deletion that was applied before this is seen.
    match users::find(tx.conn(), input.user_id).await? {
        None => return Err(AdjustError::NoSuchUser),
        Some(known) if known.status == UserStatus::Deleted => return Err(AdjustError::UserDeleted),
        Some(_) => {}
    }
    let (user, amount, balance) = (input.user_id, input.amount, movements.balance(input.user_id));
    let (cause, movement, balance_after, direction) = match input.direction {
        Direction::Credit => (
            Cause::Credit(id),
            Movement::credit(user, amount),
            credit(balance, amount)?,
            StoredDirection::Credit,
        ),
        Direction::Debit => (
            Cause::Debit(id),
            Movement::debit(user, amount),
            debit(balance, amount)?,
            StoredDirection::Debit,
        ),
    };
    let moved = movements.post(user, cause, movement, balance_after)?;
    movements.write().await?;
    let adjustment = Adjustment {
        id,
        user_id: user,
        made_by: input.by,
        direction,
        amount: amount.amount(),
        reason: input.reason.to_string(),
        balance_after,
        made_at: moved.at,
    };
    store::adjustment::insert(tx.conn(), adjustment.clone()).await?;
    say(tx, books, &adjustment, moved)?;
    write_down(tx, books, &adjustment).await?;
    Ok(adjustment)
}

fn say(tx: &Tx, books: &Books, adjustment: &Adjustment, moved: Moved) -> Result<(), DbErr> {
    let (amount, balance_after) = (
        books.money(adjustment.amount),
        books.money(adjustment.balance_after),
    );
    match adjustment.direction {
        StoredDirection::Credit => tx.emit(&WalletCreditedV1 {
            by_administrator: true,
            reason: Some(adjustment.reason.clone()),
            transfer_id: moved.id,
            user_id: adjustment.user_id,
            amount,
            balance_after,
            credited_at: moved.at,
        })?,
        StoredDirection::Debit => tx.emit(&WalletDebitedV1 {
            by_administrator: true,
            reason: Some(adjustment.reason.clone()),
            transfer_id: moved.id,
            user_id: adjustment.user_id,
            amount,
            balance_after,
            debited_at: moved.at,
        })?,
    };
    Ok(())
}

async fn write_down(tx: &Tx, books: &Books, adjustment: &Adjustment) -> Result<(), DbErr> {
    let deed = Deed {
        actor: Some(adjustment.made_by),
        action: match adjustment.direction {
            StoredDirection::Credit => "wallet.credit",
            StoredDirection::Debit => "wallet.debit",
        },
        subject: adjustment.user_id.0,
        details: json!({
            "adjustment_id": adjustment.id,
            "amount": books.money(adjustment.amount),
            "reason": adjustment.reason,
        }),
    };
    audit::record(tx, deed).await
}

//! Takes money out of a wallet.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{
    clock::Instant,
    contracts::{FailureReason, WalletDebitedV1, WithdrawalFailedV1},
    db::Tx,
    ids::{UserId, WithdrawalId},
    throttle::Throttled,
    users,
};

use super::{
    books::{Books, Entry},
    claim_key::{Claim, ClaimError, Keyed, Operation, claim_key},
    failures::count_failure,
};
pub use crate::store::withdrawal::entity::{Model as Withdrawal, State as WithdrawalState};
use crate::{
    domain::{
        failures::Counted,
        ledger::{Cause, Movement},
        wallet::{InsufficientFunds, OperationAmount, debit, may_be_used},
    },
    store::{
        self,
        account::{Wallet, WalletChange},
    },
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct WithdrawMoney {
    /// Whose wallet.
    pub user_id: UserId,
    /// How much.
    pub amount: OperationAmount,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
    /// How many failures do not slow down the next one.
    pub free_failures: u32,
}

/// Why there is no withdrawal. (One that fails is a withdrawal.)
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The user may do nothing.
    #[error("the user is blocked")]
    UserBlocked,
    /// It would fail for lack of money, as too many before it did; it is not recorded.
    #[error("too many withdrawals failed")]
    Throttled(#[source] Throttled),
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Withdraws, or records that the wallet held too little; finds it if it is a repeat.
///
/// # Errors
/// When there is no withdrawal.
pub async fn withdraw_money(
    tx: &Tx,
    books: &Books,
    input: &WithdrawMoney,
) -> Result<Withdrawal, WithdrawError> {
    let id = WithdrawalId::new(tx.now());
    let operation = Operation {
        user_id: input.user_id,
        kind: "withdrawal",
        id: id.0,
    };
    if let Claim::Repeat(first) = claim_key(tx, input.keyed.as_ref(), operation).await? {
        let first = store::withdrawal::find(tx.conn(), WithdrawalId(first)).await?;
        return Ok(first.ok_or_else(|| DbErr::RecordNotFound("the withdrawal of a key".to_owned()))?);
    }
    let users = BTreeSet::from([input.user_id]);
    let mut wallets = store::account::lock_wallets(tx.conn(), &users, tx.now()).await?;
    let wallet = wallets.remove(&input.user_id).ok_or(DbErr::RecordNotInserted)?;
    // After the lock, so that a block that was applied before this is seen.
    let known = users::find(tx.conn(), input.user_id).await?;
    if !may_be_used(known.map(|known| known.status)) {
        return Err(WithdrawError::UserBlocked);
    }
    let withdrawal = match debit(wallet.balance, input.amount) {
        Ok(balance_after) => Withdrawal {
            balance_after,
            ..record(tx, id, input, wallet)
        },
        Err(InsufficientFunds { .. }) => {
            let counted = Counted::FailedWithdrawal;
            if let Some(throttled) = count_failure(tx, counted, input.user_id, input.free_failures).await? {
                return Err(WithdrawError::Throttled(throttled));
            }
            Withdrawal {
                state: WithdrawalState::Failed,
                ..record(tx, id, input, wallet)
            }
        }
    };
    store::withdrawal::insert(tx.conn(), withdrawal.clone()).await?;
    let at = wallet.moves_at(tx.now());
    let change = WalletChange {
        from: wallet.balance,
        to: wallet.moved(withdrawal.balance_after, at),
    };
    store::account::change(tx.conn(), &[change]).await?;
    match withdrawal.state {
        WithdrawalState::Done => {
            let entry = Entry {
                cause: Cause::Withdrawal(id),
                movement: Movement::withdrawal(input.user_id, input.amount),
                user_id: input.user_id,
                wallet,
                balance_after: withdrawal.balance_after,
            };
            pay_out(tx, books, entry, at).await?;
        }
        WithdrawalState::Failed => say_failed(tx, books, &withdrawal, at)?,
    }
    Ok(withdrawal)
}

fn record(tx: &Tx, id: WithdrawalId, input: &WithdrawMoney, wallet: Wallet) -> Withdrawal {
    Withdrawal {
        id,
        user_id: input.user_id,
        amount: input.amount.amount(),
        state: WithdrawalState::Done,
        balance_after: wallet.balance,
        requested_at: tx.now(),
    }
}

async fn pay_out(tx: &Tx, books: &Books, entry: Entry, at: Instant) -> Result<(), DbErr> {
    let new = books.transfer(entry, at)?;
    store::transfer::insert(tx.conn(), std::slice::from_ref(&new)).await?;
    tx.emit(&WalletDebitedV1 {
        by_administrator: false,
        reason: None,
        transfer_id: new.transfer.id(),
        user_id: new.user_id,
        amount: books.money(new.transfer.amount()),
        balance_after: books.money(new.balance_after),
        debited_at: at,
    })?;
    Ok(())
}

fn say_failed(tx: &Tx, books: &Books, withdrawal: &Withdrawal, at: Instant) -> Result<(), DbErr> {
    tx.emit(&WithdrawalFailedV1 {
        withdrawal_id: withdrawal.id,
        user_id: withdrawal.user_id,
        amount: books.money(withdrawal.amount),
        balance: books.money(withdrawal.balance_after),
        reason: FailureReason::InsufficientFunds,
        failed_at: at,
    })?;
    Ok(())
}

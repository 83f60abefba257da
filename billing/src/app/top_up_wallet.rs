//! Puts money into a wallet, through a payment provider.
//!
//! Two transactions with the provider between them, so that none is held open while somebody
//! outside thinks. The top-up's id names the charge to the provider: asking twice charges once,
//! so a repeat of the request, or `finish_top_ups`, carries on where a crash ended the first.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{
    contracts::{UserStatus, WalletCreditedV1},
    db::{Db, Tx},
    ids::{TopUpId, UserId},
    users,
};

use super::{
    books::{Books, Entry},
    claim_key::{Claim, ClaimError, Keyed, Operation, claim_key},
};
pub use crate::store::top_up::entity::{Model as TopUp, State as TopUpState};
use crate::{
    domain::{
        ledger::{Cause, Movement},
        wallet::{OperationAmount, credit},
    },
    providers::{Charge, Outcome, PaymentProvider, ProviderError},
    store::{self, account::BalanceChange},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TopUpWallet {
    /// Whose wallet.
    pub user_id: UserId,
    /// How much.
    pub amount: OperationAmount,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
}

/// Why there is no top-up. (One that is declined is a top-up.)
#[derive(Debug, thiserror::Error)]
pub enum TopUpError {
    /// The user may do nothing.
    #[error("the user is blocked")]
    UserBlocked,
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// The provider does not answer; the top-up stays pending.
    #[error("the payment provider does not answer")]
    Provider(#[from] ProviderError),
    /// An amount that was checked when it came in, or a sum, is out of range.
    #[error("the wallet can't hold that much")]
    OutOfRange,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Asks `provider` for the money, and puts it into the wallet if it approves; finds the top-up
/// if it is a repeat.
///
/// # Errors
/// When there is no top-up, or the provider does not answer.
pub async fn top_up_wallet(
    db: &Db,
    books: &Books,
    provider: &dyn PaymentProvider,
    input: &TopUpWallet,
) -> Result<TopUp, TopUpError> {
    let top_up = db
        .write(|tx| async move { request(&tx, provider, input).await })
        .await?;
    match top_up.state {
        TopUpState::Pending => ask_provider(db, books, provider, &top_up).await,
        TopUpState::Approved | TopUpState::Declined => Ok(top_up),
    }
}

/// Asks `provider` for the money of a top-up that is not decided, and writes what it says.
pub(super) async fn ask_provider(
    db: &Db,
    books: &Books,
    provider: &dyn PaymentProvider,
    top_up: &TopUp,
) -> Result<TopUp, TopUpError> {
    let (id, user_id) = (top_up.id, top_up.user_id);
    let amount = books.money(top_up.amount);
    let outcome = &provider.charge(&Charge { id, user_id, amount }).await?;
    db.write(|tx| async move { settle(&tx, books, id, outcome).await })
        .await
}

/// Records the request, so that it is known whatever happens while the provider is asked.
async fn request(tx: &Tx, provider: &dyn PaymentProvider, input: &TopUpWallet) -> Result<TopUp, TopUpError> {
    let id = TopUpId::new(tx.now());
    let operation = Operation {
        user_id: input.user_id,
        kind: "top_up",
        id: id.0,
    };
    if let Claim::Repeat(first) = claim_key(tx, input.keyed.as_ref(), operation).await? {
        let first = store::top_up::find(tx.conn(), TopUpId(first)).await?;
        return Ok(first.ok_or_else(|| DbErr::RecordNotFound("the top-up of a key".to_owned()))?);
    }
    let known = users::find(tx.conn(), input.user_id).await?;
    if known.is_some_and(|known| known.status != UserStatus::Active) {
        return Err(TopUpError::UserBlocked);
    }
    let top_up = TopUp {
        id,
        user_id: input.user_id,
        provider: provider.name().as_str().to_owned(),
        amount: input.amount.amount(),
        state: TopUpState::Pending,
        decline_reason: None,
        balance_after: None,
        requested_at: tx.now(),
        settled_at: None,
    };
    store::top_up::insert(tx.conn(), top_up.clone()).await?;
    Ok(top_up)
}

/// Writes what the provider decided. One that is decided already stays as it is.
async fn settle(tx: &Tx, books: &Books, id: TopUpId, outcome: &Outcome) -> Result<TopUp, TopUpError> {
    let top_up = store::top_up::lock(tx.conn(), id).await?;
    let top_up = top_up.ok_or_else(|| DbErr::RecordNotFound("a top-up".to_owned()))?;
    if top_up.state != TopUpState::Pending {
        return Ok(top_up);
    }
    match outcome {
        Outcome::Pending => Ok(top_up),
        Outcome::Approved => credit_wallet(tx, books, top_up).await,
        Outcome::Declined { reason } => {
            let declined = TopUp {
                state: TopUpState::Declined,
                decline_reason: Some(reason.clone()),
                settled_at: Some(tx.now()),
                ..top_up
            };
            store::top_up::settle(tx.conn(), &declined).await?;
            Ok(declined)
        }
    }
}

async fn credit_wallet(tx: &Tx, books: &Books, top_up: TopUp) -> Result<TopUp, TopUpError> {
    let user_id = top_up.user_id;
    let mut wallets = store::account::lock_wallets(tx.conn(), &BTreeSet::from([user_id]), tx.now()).await?;
    let wallet = wallets.remove(&user_id).ok_or(DbErr::RecordNotInserted)?;
    let amount = OperationAmount::parse(top_up.amount).map_err(|_| TopUpError::OutOfRange)?;
    let balance_after = credit(wallet.balance, amount).map_err(|_| TopUpError::OutOfRange)?;
    let provider = top_up
        .provider
        .parse()
        .map_err(|_| DbErr::Type("a provider's name".to_owned()))?;
    let entry = Entry {
        cause: Cause::TopUp(top_up.id),
        movement: Movement::top_up(user_id, provider, amount),
        user_id,
        wallet,
        balance_after,
    };
    let new = books.transfer(entry, tx.now())?;
    let approved = TopUp {
        state: TopUpState::Approved,
        balance_after: Some(balance_after),
        settled_at: Some(tx.now()),
        ..top_up
    };
    store::top_up::settle(tx.conn(), &approved).await?;
    let change = BalanceChange {
        account_id: wallet.account_id,
        from: wallet.balance,
        to: balance_after,
    };
    store::account::set_balances(tx.conn(), &[change]).await?;
    store::transfer::insert(tx.conn(), std::slice::from_ref(&new)).await?;
    tx.emit(&WalletCreditedV1 {
        transfer_id: new.transfer.id(),
        user_id,
        amount: books.money(approved.amount),
        balance_after: books.money(balance_after),
        credited_at: tx.now(),
    })?;
    Ok(approved)
}

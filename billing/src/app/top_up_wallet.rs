//! Puts money into a wallet, through a payment provider.
//!
//! Two transactions with the provider between them, so that none is held open while somebody
//! outside thinks. The top-up's id names the charge to the provider: asking twice charges once,
//! so a repeat of the request, or `finish_top_ups`, carries on where a crash ended the first.
//!
//! Whoever asks the provider has the top-up in hand until it has answered; nobody asks beside them.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::DbErr;
use shared::{
    contracts::{TopUpFailedV1, UserStatus, WalletCreditedV1},
    db::{Db, Tx},
    ids::{TopUpId, UserId},
    money::OutOfRange,
    throttle::{self, Count, Throttled},
    users,
};

use super::{
    books::Books,
    claim_key::{Claim, ClaimError, Keyed, Operation, claim_key},
    movements::Movements,
};
pub use crate::store::top_up::entity::{Model as TopUp, State as TopUpState};
use crate::{
    domain::{
        failures::Counted,
        ledger::{Cause, Movement},
        top_up::{IN_HAND, LONGEST_ANSWER, next_ask_at},
        wallet::{OperationAmount, credit, may_be_used},
    },
    providers::{Charge, Outcome, PaymentProvider, ProviderError},
    store::{self, account::WalletChange},
};

/// How long a request waits for the provider and the ledger: less than any request may take, so
/// that the client gets the top-up and no error.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What is kept where a provider declines and does not say why.
pub const NO_REASON: &str = "It gave no reason.";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TopUpWallet {
    /// Whose wallet.
    pub user_id: UserId,
    /// How much.
    pub amount: OperationAmount,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
    /// How many that are not approved do not slow down the next one.
    pub free_failures: u32,
}

/// Why there is no top-up. (One that is declined is a top-up.)
#[derive(Debug, thiserror::Error)]
pub enum TopUpError {
    /// No payment provider is on.
    #[error("there is no payment provider")]
    NoProvider,
    /// The user may do nothing.
    #[error("the user is blocked")]
    UserBlocked,
    /// Too many before it were declined or are undecided; the provider is not asked.
    #[error("too many top-ups were not approved")]
    Throttled(#[source] Throttled),
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Why a top-up that there is stays undecided for now.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The provider can't be asked.
    #[error("the payment provider does not answer")]
    Provider(#[from] ProviderError),
    /// An amount that was checked when it came in, or a sum, is out of range.
    #[error("the wallet can't hold that much")]
    OutOfRange,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What a request finds or makes.
enum Requested {
    /// To be asked about; this request has it in hand.
    Ask(TopUp),
    /// To be shown as it is.
    Show(TopUp),
}

/// Asks `provider` for the money, and puts it into the wallet if it approves; finds the top-up
/// if it is a repeat, and asks about it again if it is undecided and `provider` is the one that it
/// was begun with.
///
/// Once the top-up is written there is no error any more, whatever becomes of the provider or the
/// database: a client that saw one would begin a second top-up. It is pending then, and
/// `finish_top_ups` carries on.
///
/// # Errors
/// When there is no top-up.
pub async fn top_up_wallet(
    db: &Db,
    books: &Books,
    provider: Option<&dyn PaymentProvider>,
    input: &TopUpWallet,
) -> Result<TopUp, TopUpError> {
    let requested = db
        .write(|tx| async move { request(&tx, provider, input).await })
        .await?;
    let (top_up, provider) = match (requested, provider) {
        (Requested::Ask(top_up), Some(provider)) => (top_up, provider),
        (Requested::Ask(top_up) | Requested::Show(top_up), _) => return Ok(top_up),
    };
    let asked = ask_provider(db, books, provider, &top_up);
    let error: Box<dyn std::error::Error> = match tokio::time::timeout(LONGEST_WAIT, asked).await {
        Ok(Ok(top_up)) => return Ok(top_up),
        Ok(Err(error)) => error.into(),
        Err(elapsed) => elapsed.into(),
    };
    tracing::warn!(top_up = %top_up.id, error, "a top-up stays undecided for now");
    Ok(top_up)
}

/// Asks `provider` for the money of a top-up that the caller has in hand, and writes what it says.
pub(super) async fn ask_provider(
    db: &Db,
    books: &Books,
    provider: &dyn PaymentProvider,
    top_up: &TopUp,
) -> Result<TopUp, AskError> {
    let (id, user_id) = (top_up.id, top_up.user_id);
    let amount = books.money(top_up.amount);
    let charge = Charge { id, user_id, amount };
    let longest = LONGEST_ANSWER.to_std().unwrap_or_default();
    let answer = match tokio::time::timeout(longest, provider.charge(&charge)).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(ProviderError(elapsed.into())),
    };
    // Not to have got an answer is to be asked again, like having got none that decides.
    let outcome = answer.as_ref().unwrap_or(&Outcome::Pending);
    let top_up = db
        .write(|tx| async move { settle(&tx, books, id, outcome).await })
        .await?;
    answer?;
    Ok(top_up)
}

/// Records the request, so that it is known whatever happens while the provider is asked.
async fn request(
    tx: &Tx,
    provider: Option<&dyn PaymentProvider>,
    input: &TopUpWallet,
) -> Result<Requested, TopUpError> {
    let id = TopUpId::new(tx.now());
    let operation = Operation {
        user_id: input.user_id,
        kind: "top_up",
        id: id.0,
    };
    if let Claim::Repeat(first) = claim_key(tx, input.keyed.as_ref(), operation).await? {
        return repeat(tx, provider, TopUpId(first)).await;
    }
    let provider = provider.ok_or(TopUpError::NoProvider)?;
    let known = users::find(tx.conn(), input.user_id).await?;
    if !may_be_used(known.map(|known| known.status)) {
        return Err(TopUpError::UserBlocked);
    }
    // Until it is approved it counts as one that was declined: so of those that are made at once no
    // more are begun than of those made one by one.
    let before = count_unpaid(tx, input.user_id).await?;
    if let Some(seconds) = before.slowed(input.free_failures, tx.now()) {
        return Err(TopUpError::Throttled(Throttled { seconds }));
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
        asks: 1,
        next_ask_at: Some(tx.now() + IN_HAND),
        in_hand_until: Some(tx.now() + IN_HAND),
    };
    store::top_up::insert(tx.conn(), top_up.clone()).await?;
    Ok(Requested::Ask(top_up))
}

/// Counts one more top-up, and gives the count before it.
async fn count_unpaid(tx: &Tx, user: UserId) -> Result<Count, DbErr> {
    let key = Counted::UnpaidTopUp.key(user);
    let with_it = throttle::add(tx.conn(), &key, None, tx.now()).await?;
    Ok(Count {
        count: with_it.count - 1,
        ..with_it
    })
}

/// Finds the top-up that a repeat is about, and takes it in hand if it can be asked about.
async fn repeat(
    tx: &Tx,
    provider: Option<&dyn PaymentProvider>,
    id: TopUpId,
) -> Result<Requested, TopUpError> {
    let first = store::top_up::lock(tx.conn(), id).await?;
    let first = first.ok_or_else(|| DbErr::RecordNotFound("the top-up of a key".to_owned()))?;
    if first.state != TopUpState::Pending {
        return Ok(Requested::Show(first));
    }
    if first.in_hand_until.is_some_and(|until| tx.now() < until) {
        return Err(ClaimError::InFlight.into());
    }
    // Another provider knows nothing of the first one's charge, and would charge once more.
    if provider.is_none_or(|provider| provider.name().as_str() != first.provider) {
        return Ok(Requested::Show(first));
    }
    Ok(Requested::Ask(take_in_hand(tx, first).await?))
}

/// Marks a top-up that is locked as in the hands of the caller, who asks the provider next.
pub(super) async fn take_in_hand(tx: &Tx, top_up: TopUp) -> Result<TopUp, DbErr> {
    let taken = TopUp {
        asks: top_up.asks.saturating_add(1),
        next_ask_at: Some(tx.now() + IN_HAND),
        in_hand_until: Some(tx.now() + IN_HAND),
        ..top_up
    };
    store::top_up::put_off(tx.conn(), &taken).await?;
    Ok(taken)
}

/// Writes what the provider decided. One that is decided already stays as it is.
pub(super) async fn settle(
    tx: &Tx,
    books: &Books,
    id: TopUpId,
    outcome: &Outcome,
) -> Result<TopUp, AskError> {
    let top_up = store::top_up::lock(tx.conn(), id).await?;
    let top_up = top_up.ok_or_else(|| DbErr::RecordNotFound("a top-up".to_owned()))?;
    if top_up.state != TopUpState::Pending {
        return Ok(top_up);
    }
    match outcome {
        Outcome::Pending => {
            let put_off = TopUp {
                next_ask_at: Some(next_ask_at(top_up.asks, tx.now())),
                in_hand_until: None,
                ..top_up
            };
            store::top_up::put_off(tx.conn(), &put_off).await?;
            Ok(put_off)
        }
        Outcome::Approved => credit_wallet(tx, books, top_up).await,
        Outcome::Declined { reason } => Ok(decline(tx, books, top_up, reason.as_deref()).await?),
    }
}

/// Leaves the wallet as it is and says so; not to somebody who is deleted. What is said of a wallet
/// has its order, whatever the clock does: so this takes its place among the movements.
async fn decline(tx: &Tx, books: &Books, top_up: TopUp, reason: Option<&str>) -> Result<TopUp, DbErr> {
    let user_id = top_up.user_id;
    let wallets = store::account::lock_wallets(tx.conn(), &BTreeSet::from([user_id]), tx.now()).await?;
    let wallet = wallets.get(&user_id).copied().ok_or(DbErr::RecordNotInserted)?;
    let at = wallet.moves_at(tx.now());
    let declined = TopUp {
        state: TopUpState::Declined,
        decline_reason: Some(reason.unwrap_or(NO_REASON).to_owned()),
        settled_at: Some(at),
        next_ask_at: None,
        in_hand_until: None,
        ..top_up
    };
    store::top_up::settle(tx.conn(), &declined).await?;
    // After the lock, so that a deletion that was applied before this is seen.
    let known = users::find(tx.conn(), user_id).await?;
    if known.is_some_and(|known| known.status == UserStatus::Deleted) {
        return Ok(declined);
    }
    let change = WalletChange {
        from: wallet.balance,
        to: wallet.moved(wallet.balance, at),
    };
    store::account::change(tx.conn(), &[change]).await?;
    tx.emit(&TopUpFailedV1 {
        top_up_id: declined.id,
        user_id,
        amount: books.money(declined.amount),
        balance: books.money(wallet.balance),
        reason: reason.map(ToOwned::to_owned),
        failed_at: at,
    })?;
    Ok(declined)
}

async fn credit_wallet(tx: &Tx, books: &Books, top_up: TopUp) -> Result<TopUp, AskError> {
    let user_id = top_up.user_id;
    let mut movements = Movements::of_one(tx, books, user_id).await?;
    // After the lock, so that a deletion that was applied before this is seen.
    let known = users::find(tx.conn(), user_id).await?;
    let is_deleted = known.is_some_and(|known| known.status == UserStatus::Deleted);
    let amount = OperationAmount::parse(top_up.amount).map_err(|_| AskError::OutOfRange)?;
    let balance_after =
        credit(movements.balance(user_id), amount).map_err(|OutOfRange| AskError::OutOfRange)?;
    let provider = top_up
        .provider
        .parse()
        .map_err(|_| DbErr::Type("a provider's name".to_owned()))?;
    let movement = Movement::top_up(user_id, provider, amount);
    let moved = movements.post(user_id, Cause::TopUp(top_up.id), movement, balance_after)?;
    if is_deleted {
        // The provider has the money, so it comes in; and goes where all else went.
        movements.forfeit(user_id, Cause::Forfeiture(moved.id.0))?;
    }
    let approved = TopUp {
        state: TopUpState::Approved,
        balance_after: Some(movements.balance(user_id)),
        settled_at: Some(moved.at),
        next_ask_at: None,
        in_hand_until: None,
        ..top_up
    };
    store::top_up::settle(tx.conn(), &approved).await?;
    movements.write().await?;
    throttle::take_back(tx.conn(), &Counted::UnpaidTopUp.key(user_id)).await?;
    if !is_deleted {
        tx.emit(&WalletCreditedV1 {
            by_administrator: false,
            reason: None,
            transfer_id: moved.id,
            user_id,
            amount: books.money(approved.amount),
            balance_after: books.money(balance_after),
            credited_at: moved.at,
        })?;
    }
    Ok(approved)
}

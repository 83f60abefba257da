//! `/balance` and `/transfers`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, Idempotency, Json, Page, PageQuery, Problem, Query},
    money::Money,
};

use super::{
    AppState,
    body::{OwnerQuery, operation_amount, page},
    keys::keyed,
    render::{BalanceBody, TransferBody},
};
use crate::app::{
    self,
    read_wallet::WalletTransfer,
    top_up_wallet::{TopUpError, TopUpState, TopUpWallet},
    withdraw_money::{WithdrawError, WithdrawMoney, WithdrawalState},
};

/// `GET /balance`.
pub(super) async fn get_balance(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
) -> Result<Json<BalanceBody>, Problem> {
    let user = caller.own_or(owner.user_id, Permission::BillingRead)?;
    let balance = app::read_wallet::read_balance(state.db.reader(), user).await?;
    Ok(Json(BalanceBody::new(&state.books, user, balance)))
}

/// `POST /balance/top-up`. `Idempotency-Key` is strongly recommended: without one, a repeat of
/// the request is another top-up.
pub(super) async fn top_up_balance(
    State(state): State<AppState>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<Money>,
) -> Result<Response, Problem> {
    let keyed = keyed(idempotency, "top_up", &body)?;
    let amount = operation_amount(body, state.books.currency)?;
    let provider = state.provider.as_deref().ok_or_else(no_provider)?;
    let input = TopUpWallet {
        user_id: caller.user_id,
        amount,
        keyed,
    };
    let top_up = app::top_up_wallet::top_up_wallet(&state.db, &state.books, provider, &input).await?;
    let (status, balance) = match (top_up.state, top_up.balance_after) {
        (TopUpState::Declined, _) => return Err(declined(top_up.decline_reason)),
        (TopUpState::Approved, Some(balance_after)) => (StatusCode::OK, balance_after),
        _ => {
            let balance = app::read_wallet::read_balance(state.db.reader(), caller.user_id).await?;
            (StatusCode::ACCEPTED, balance)
        }
    };
    Ok((
        status,
        Json(BalanceBody::new(&state.books, caller.user_id, balance)),
    )
        .into_response())
}

/// `POST /balance/withdraw`. `Idempotency-Key` is strongly recommended, as for top-ups; a repeat
/// of one that failed shows that it failed.
pub(super) async fn withdraw_balance(
    State(state): State<AppState>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<Money>,
) -> Result<Json<BalanceBody>, Problem> {
    let keyed = keyed(idempotency, "withdraw", &body)?;
    let amount = operation_amount(body, state.books.currency)?;
    let (books, input) = (
        &state.books,
        &WithdrawMoney {
            user_id: caller.user_id,
            amount,
            keyed,
        },
    );
    let withdrawal = state
        .db
        .write(|tx| async move { app::withdraw_money::withdraw_money(&tx, books, input).await })
        .await?;
    match withdrawal.state {
        WithdrawalState::Done => Ok(Json(BalanceBody::new(
            books,
            caller.user_id,
            withdrawal.balance_after,
        ))),
        WithdrawalState::Failed => {
            let (cost, balance) = (
                books.money(withdrawal.amount),
                books.money(withdrawal.balance_after),
            );
            Err(insufficient_funds(cost, balance).with("withdrawal_id", json!(withdrawal.id)))
        }
    }
}

/// `GET /transfers`: those of one's own wallet, newest first.
pub(super) async fn list_transfers(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<TransferBody>>, Problem> {
    let user = caller.own_or(owner.user_id, Permission::BillingRead)?;
    let (after, limit) = page(&query)?;
    let rows = app::read_wallet::list_transfers(state.db.reader(), user, after, limit + 1).await?;
    let cursor = |row: &WalletTransfer| Cursor {
        at: row.at,
        id: row.id.0,
    };
    Ok(Json(Page::of(rows, limit, cursor, |row| {
        TransferBody::new(&state.books, row)
    })))
}

/// 402: the wallet holds less than is needed.
pub(super) fn insufficient_funds(cost: Money, balance: Money) -> Problem {
    Problem::new(
        StatusCode::PAYMENT_REQUIRED,
        "insufficient_funds",
        "The wallet holds too little",
    )
    .detail(format!("This needs {cost}, the wallet holds {balance}."))
    .with("cost", json!(cost))
    .with("balance", json!(balance))
}

/// 403: the account is blocked, as found in the transaction that would have acted.
pub(super) fn user_blocked() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "user_blocked", "The account is blocked")
}

fn declined(reason: Option<String>) -> Problem {
    Problem::new(
        StatusCode::PAYMENT_REQUIRED,
        "payment_declined",
        "The payment was declined",
    )
    .detail(reason.unwrap_or_else(|| "The payment provider gave no reason.".to_owned()))
}

fn no_provider() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no_payment_provider",
        "No payment provider is configured",
    )
    .detail("Money can't be put into wallets here until the operator configures one.")
}

impl From<TopUpError> for Problem {
    fn from(error: TopUpError) -> Self {
        match error {
            TopUpError::UserBlocked => user_blocked(),
            TopUpError::Claim(error) => error.into(),
            TopUpError::OutOfRange => Self::new(
                StatusCode::CONFLICT,
                "wallet_full",
                "The wallet can't hold that much",
            ),
            TopUpError::Provider(_) => {
                tracing::warn!(%error, "a payment provider does not answer");
                Self::unavailable()
            }
            TopUpError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<WithdrawError> for Problem {
    fn from(error: WithdrawError) -> Self {
        match error {
            WithdrawError::UserBlocked => user_blocked(),
            WithdrawError::Claim(error) => error.into(),
            WithdrawError::Store(_) => Self::internal(&error),
        }
    }
}

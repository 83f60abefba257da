//! `/balance` and `/transfers`.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::json;
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, Idempotency, Json, Page, PageQuery, Path, Problem, Query},
    ids::TopUpId,
    money::Money,
};
use utoipa::IntoParams;

use super::{
    AppState,
    body::{KeyHeader, OwnerQuery, TimeQuery, operation_amount, page},
    keys::keyed,
    render::{BalanceBody, TopUpBody, TransferBody, TransferCause},
};
use crate::app::{
    self,
    read_wallet::{TransferFilter, TransferView},
    top_up_wallet::{NO_REASON, TopUp, TopUpError, TopUpState, TopUpWallet},
    withdraw_money::{WithdrawError, WithdrawMoney, WithdrawalState},
};

/// What a wallet holds.
#[utoipa::path(get, path = "/balance",
    security(("access_token" = []), ("access_token" = ["billing.read"])),
    params(OwnerQuery), responses((status = 200, body = BalanceBody)))]
pub(super) async fn get_balance(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
) -> Result<Json<BalanceBody>, Problem> {
    let user = caller.own_or(owner.user_id, Permission::BillingRead)?;
    let balance = app::read_wallet::read_balance(state.db.reader(), user).await?;
    Ok(Json(BalanceBody::new(&state.books, user, balance)))
}

/// Puts money into one's wallet.
///
/// `Idempotency-Key` is strongly recommended: without one, a repeat of the request is another
/// top-up.
#[utoipa::path(post, path = "/balance/top-up", params(KeyHeader), request_body = Money, responses(
    (status = 200, body = BalanceBody, description = "The money is in the wallet."),
    (status = 202, body = TopUpBody, description = "The provider has not decided, or could not be asked. Billing keeps asking; `Location` tells what comes of it."),
    (status = 402, description = "`payment_declined`: the provider refused, and no money moved."),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    (status = 429, description = "`too_many_attempts`: too many top-ups of this user were declined or are undecided; `Retry-After` says how many seconds the next one waits."),
    (status = 503, description = "`no_payment_provider`: there is none by which money could come in.")))]
pub(super) async fn top_up_balance(
    State(state): State<AppState>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<Money>,
) -> Result<Response, Problem> {
    let user_id = caller.own()?;
    let keyed = keyed(idempotency, "top_up", &body)?;
    let amount = operation_amount(body, state.books.currency)?;
    let input = TopUpWallet {
        user_id,
        amount,
        keyed,
        free_failures: state.free_failures.top_ups,
    };
    let (books, provider) = (&state.books, state.provider.as_deref());
    let top_up = app::top_up_wallet::top_up_wallet(&state.db, books, provider, &input).await?;
    // The top-up is written: nothing from here on may fail, or the client would pay again.
    let location = [(header::LOCATION, format!("/billing/v1/top-ups/{}", top_up.id))];
    match (top_up.state, top_up.balance_after) {
        (TopUpState::Declined, _) => Err(declined(top_up)),
        (TopUpState::Approved, Some(balance_after)) => {
            let body = BalanceBody::new(books, user_id, balance_after);
            Ok((location, Json(body)).into_response())
        }
        _ => {
            let body = TopUpBody::new(books, top_up);
            Ok((StatusCode::ACCEPTED, location, Json(body)).into_response())
        }
    }
}

/// One top-up: one's own; with `billing.read` anyone's.
#[utoipa::path(get, path = "/top-ups/{id}", params(("id" = TopUpId, Path)),
    responses((status = 200, body = TopUpBody)))]
pub(super) async fn get_top_up(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TopUpId>,
) -> Result<Json<TopUpBody>, Problem> {
    let top_up = app::read_top_up::read_top_up(state.db.reader(), id).await?;
    let may_see = |top_up: &TopUp| top_up.user_id == caller.user_id || caller.may(Permission::BillingRead);
    let top_up = top_up
        .filter(may_see)
        .ok_or_else(|| Problem::not_found("top-up"))?;
    Ok(Json(TopUpBody::new(&state.books, top_up)))
}

/// Takes money out of one's wallet.
///
/// `Idempotency-Key` is strongly recommended, as for top-ups; a repeat of one that failed shows that
/// it failed.
#[utoipa::path(post, path = "/balance/withdraw", params(KeyHeader), request_body = Money, responses(
    (status = 200, body = BalanceBody),
    (status = 402, description = "`insufficient_funds`: the wallet holds too little."),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    (status = 429, description = "`too_many_attempts`: the wallet holds too little, as for too many withdrawals before; nothing is recorded, and `Retry-After` says how many seconds the next one waits.")))]
pub(super) async fn withdraw_balance(
    State(state): State<AppState>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<Money>,
) -> Result<Json<BalanceBody>, Problem> {
    let user_id = caller.own()?;
    let keyed = keyed(idempotency, "withdraw", &body)?;
    let amount = operation_amount(body, state.books.currency)?;
    let (books, input) = (
        &state.books,
        &WithdrawMoney {
            user_id,
            amount,
            keyed,
            free_failures: state.free_failures.withdrawals,
        },
    );
    let withdrawal = state
        .db
        .write(|tx| async move { app::withdraw_money::withdraw_money(&tx, books, input).await })
        .await?;
    match withdrawal.state {
        WithdrawalState::Done => Ok(Json(BalanceBody::new(books, user_id, withdrawal.balance_after))),
        WithdrawalState::Failed => {
            let (cost, balance) = (
                books.money(withdrawal.amount),
                books.money(withdrawal.balance_after),
            );
            Err(insufficient_funds(cost, balance).with("withdrawal_id", json!(withdrawal.id)))
        }
    }
}

/// Which transfers a list shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TransfersQuery {
    /// Only those with this cause.
    #[param(inline)]
    cause: Option<TransferCause>,
}

/// What moved a wallet, the newest first.
#[utoipa::path(get, path = "/transfers",
    security(("access_token" = []), ("access_token" = ["billing.read"])),
    params(OwnerQuery, TransfersQuery, TimeQuery, PageQuery),
    responses((status = 200, body = Page<TransferBody>)))]
pub(super) async fn list_transfers(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
    Query(which): Query<TransfersQuery>,
    Query(time): Query<TimeQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<TransferBody>>, Problem> {
    let (after, limit) = page(&query)?;
    let time = time.checked()?;
    let filter = TransferFilter {
        user_id: caller.own_or(owner.user_id, Permission::BillingRead)?,
        cause: which.cause.map(TransferCause::as_str),
        from: time.from,
        to: time.to,
        after,
        limit: limit + 1,
    };
    let rows = app::read_wallet::list_transfers(state.db.reader(), &filter).await?;
    let cursor = |row: &TransferView| Cursor {
        at: row.transfer.at,
        id: row.transfer.id.0,
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

/// 402: the provider refused, and why. It is not that the wallet holds too little.
fn declined(top_up: TopUp) -> Problem {
    let reason = top_up.decline_reason.unwrap_or_else(|| NO_REASON.to_owned());
    Problem::new(
        StatusCode::PAYMENT_REQUIRED,
        "payment_declined",
        "The payment provider declined the payment",
    )
    .detail(format!("{reason} The wallet is as it was."))
    .with("top_up_id", json!(top_up.id))
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
            TopUpError::NoProvider => no_provider(),
            TopUpError::Throttled(throttled) => throttled.into(),
            TopUpError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<WithdrawError> for Problem {
    fn from(error: WithdrawError) -> Self {
        match error {
            WithdrawError::UserBlocked => user_blocked(),
            WithdrawError::Throttled(throttled) => throttled.into(),
            WithdrawError::Claim(error) => error.into(),
            WithdrawError::Store(_) => Self::internal(&error),
        }
    }
}

//! `/users`: what administrators do to wallets.

use axum::{extract::State, http::StatusCode};
use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, FieldError, Idempotency, Json, Path, Problem, justification},
    ids::UserId,
    money::{Amount, Money},
};
use utoipa::ToSchema;

use super::{
    AppState,
    body::{KeyHeader, operation_amount},
    keys::keyed,
    render::BalanceBody,
    wallet::insufficient_funds,
};
use crate::{
    app::{
        self,
        adjust_wallet::{AdjustError, AdjustWallet},
    },
    domain::wallet::{Direction, InsufficientFunds},
};

/// What an administrator moves, and why.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Adjustment, example = json!({"amount": 89_000, "currency": "RUB", "reason": "paid twice"}))]
#[serde(deny_unknown_fields)]
pub(super) struct AdjustBody {
    /// Minor units of `currency`.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000_000_i64)]
    amount: Amount,
    /// ISO 4217; the platform's own.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
    /// In the administrator's words, without control characters. The user reads it, in a letter and
    /// beside the transfer: it is to tell nothing that they must not know, and nothing of who they are.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Puts money into a user's wallet.
///
/// `Idempotency-Key` is strongly recommended: a repeat under it shows what the first request left. One
/// that was refused moved nothing and leaves its key unused.
#[utoipa::path(post, path = "/users/{id}/credit",
    security(("access_token" = ["wallets.adjust"])),
    params(("id" = UserId, Path), KeyHeader),
    request_body = AdjustBody, responses(
    (status = 200, body = BalanceBody),
    (status = 403, description = "`forbidden`: it needs the permission `wallets.adjust`. `own_wallet`: it is the caller's own; another administrator adjusts it."),
    (status = 409, description = "`user_deleted`: the account is deleted.")))]
pub(super) async fn credit_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    idempotency: Idempotency,
    Json(body): Json<AdjustBody>,
) -> Result<Json<BalanceBody>, Problem> {
    adjust(&state, &caller, id, idempotency, &body, Direction::Credit).await
}

/// Takes money out of a user's wallet, never more than it holds.
///
/// `Idempotency-Key` as for putting money in.
#[utoipa::path(post, path = "/users/{id}/debit",
    security(("access_token" = ["wallets.adjust"])),
    params(("id" = UserId, Path), KeyHeader),
    request_body = AdjustBody, responses(
    (status = 200, body = BalanceBody),
    (status = 402, description = "`insufficient_funds`: the wallet holds too little."),
    (status = 403, description = "`forbidden`: it needs the permission `wallets.adjust`. `own_wallet`: it is the caller's own; another administrator adjusts it."),
    (status = 409, description = "`user_deleted`: the account is deleted.")))]
pub(super) async fn debit_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    idempotency: Idempotency,
    Json(body): Json<AdjustBody>,
) -> Result<Json<BalanceBody>, Problem> {
    adjust(&state, &caller, id, idempotency, &body, Direction::Debit).await
}

async fn adjust(
    state: &AppState,
    caller: &Caller,
    user_id: UserId,
    idempotency: Idempotency,
    body: &AdjustBody,
    direction: Direction,
) -> Result<Json<BalanceBody>, Problem> {
    caller.require(Permission::WalletsAdjust)?;
    let operation = match direction {
        Direction::Credit => "credit",
        Direction::Debit => "debit",
    };
    let keyed = keyed(idempotency, operation, &(user_id, body))?;
    let currency = Currency::from_code(&body.currency).ok_or_else(|| {
        Problem::invalid(&[FieldError::new(
            "currency",
            "it must be a code of ISO 4217, such as RUB",
        )])
    })?;
    let books = &state.books;
    let input = &AdjustWallet {
        user_id,
        by: caller.user_id,
        direction,
        amount: operation_amount(Money::new(body.amount, currency), books.currency)?,
        reason: justification(&body.reason)?,
        keyed,
    };
    let adjusted = state
        .db
        .write(|tx| async move { app::adjust_wallet::adjust_wallet(&tx, books, input).await })
        .await;
    match adjusted {
        Ok(adjustment) => Ok(Json(BalanceBody::new(books, user_id, adjustment.balance_after))),
        Err(AdjustError::Insufficient(InsufficientFunds { balance, needed })) => {
            Err(insufficient_funds(books.money(needed), books.money(balance)))
        }
        Err(error) => Err(error.into()),
    }
}

impl From<AdjustError> for Problem {
    fn from(error: AdjustError) -> Self {
        match error {
            AdjustError::NoSuchUser => Self::not_found("user"),
            AdjustError::Own => Self::new(
                StatusCode::FORBIDDEN,
                "own_wallet",
                "An account can't adjust its own wallet",
            )
            .detail("Another administrator has to adjust it."),
            AdjustError::UserDeleted => {
                Self::new(StatusCode::CONFLICT, "user_deleted", "The account is deleted")
            }
            AdjustError::Claim(error) => error.into(),
            AdjustError::Insufficient(_) | AdjustError::OutOfRange(_) | AdjustError::Store(_) => {
                Self::internal(&error)
            }
        }
    }
}

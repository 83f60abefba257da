//! `/purchases`.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use iso_currency::Currency;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    contracts::{FailureReason, Permission},
    http::{
        Caller, ClientAddress, Cursor, FieldError, Idempotency, Json, Page, PageQuery, Path, Problem, Query,
        RecentCaller, justification, present,
    },
    ids::{PurchaseId, TariffId},
    money::Money,
    promocode::visible,
    telemetry::trace,
    throttle::bucket_of,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    body::{KeyHeader, OwnerQuery, TimeQuery, page, wrong_currency},
    keys::keyed,
    render::{PurchaseBody, PurchaseStatus},
    wallet::{insufficient_funds, user_blocked},
};
use crate::{
    app::{
        self,
        buy_tariff::{BuyTariff, BuyTariffError},
        cancel_purchase::CancelError,
        read_purchase::{PurchaseFilter, PurchaseView},
        refund_purchase::{RefundError, RefundPurchase},
    },
    domain::purchase::{PurchaseState, StartError},
};

/// How long a request waits for its purchase's outcome.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The most characters that are passed on to loyalty.
const LONGEST_PROMOCODE: usize = 256;

/// What is bought.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = NewPurchase)]
#[serde(deny_unknown_fields)]
pub(super) struct BuyBody {
    tariff_id: TariffId,
    /// As the customer typed it, without control characters.
    #[schema(nullable = false, min_length = 1, max_length = 256, example = "SUMMER")]
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    promocode: Option<String>,
    /// What the buyer expects to be charged, the discount taken off. Another price fails the purchase,
    /// and no use of the promocode is taken.
    #[schema(nullable = false)]
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    expected_price: Option<Money>,
}

impl BuyBody {
    /// Without invisible characters in the promocode and space around it, which make no difference.
    fn checked(self, currency: Currency) -> Result<Self, Problem> {
        let promocode = self.promocode.as_deref().map(visible);
        let detail = match &promocode {
            Some(code) if code.is_empty() => Some("it must not be empty; leave it out to buy without one"),
            Some(code) if code.chars().count() > LONGEST_PROMOCODE => Some("it has at most 256 characters"),
            Some(code) if code.chars().any(char::is_control) => Some("it has no control characters"),
            _ => None,
        };
        let mut errors = Vec::from_iter(detail.map(|detail| FieldError::new("promocode", detail)));
        if let Some(price) = self.expected_price {
            errors.extend(wrong_currency("expected_price.currency", price, currency));
            if price.amount.is_negative() {
                errors.push(FieldError::new("expected_price.amount", "it is at least 0"));
            }
        }
        if errors.is_empty() {
            Ok(Self { promocode, ..self })
        } else {
            Err(Problem::invalid(&errors))
        }
    }
}

/// Which purchases a list shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PurchasesQuery {
    /// Only those that have come so far.
    #[param(inline)]
    status: Option<PurchaseStatus>,
    /// Only those of this tariff.
    tariff_id: Option<TariffId>,
}

/// Why a purchase is given back.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = NewRefund)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundRequestBody {
    /// In the administrator's words, without control characters. The user reads it in a letter: it is to
    /// tell nothing that they must not know, and nothing of who they are.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Buys a tariff, and waits a moment for the outcome.
///
/// `Idempotency-Key` is strongly recommended: a repeat finds the purchase as it now stands, and
/// waits with it. Whether the caller may buy is looked at where the purchase begins, and again
/// where it is charged.
///
/// The letter about the outcome is written by another service: it is mostly in the inbox a tenth of a
/// second after the answer, and within 20 seconds as long as all parts of the platform are up.
#[utoipa::path(post, path = "/purchases", params(KeyHeader), request_body = BuyBody, responses(
    (status = 201, body = PurchaseBody, description = "It is paid."),
    (status = 202, body = PurchaseBody, description = "It waits for the answer about its promocode; `Location` tells how it ends."),
    (status = 402, description = "`insufficient_funds`: the wallet holds too little."),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    (status = 404, description = "`not_found`: there is no such tariff."),
    (status = 409, description = "`tariff_not_sold`: it is archived. `price_changed`: the price is not the expected one; `price` is what it would cost. `purchase_cancelled`: its buyer cancelled it meanwhile."),
    (status = 422, description = "`promocode_refused`: it can't be used; `reasons` say why. `purchase_timed_out`: nobody answered about the promocode in time."),
    (status = 429, description = "`too_many_attempts`: too many purchases of this user failed, and this one would fail too or has a promocode; nothing is recorded, and `Retry-After` says how many seconds the next one waits.")))]
pub(super) async fn create_purchase(
    State(state): State<AppState>,
    RecentCaller(caller): RecentCaller,
    idempotency: Idempotency,
    ClientAddress(address): ClientAddress,
    Json(body): Json<BuyBody>,
) -> Result<Response, Problem> {
    let user_id = caller.own()?;
    let body = body.checked(state.books.currency)?;
    let keyed = keyed(idempotency, "purchase", &body)?;
    let asked = BuyTariff {
        user_id,
        tariff_id: body.tariff_id,
        promocode: body.promocode,
        expected_price: body.expected_price.map(|price| price.amount),
        patience: state.patience,
        keyed,
        free_failures: state.free_failures.purchases,
        client_bucket: address.map(bucket_of),
        traceparent: trace::current(),
    };
    let view = state.buying.run(asked).await??;
    let view = outcome(&state, view).await;
    render_outcome(&state, view)
}

/// The purchase when it has ended, or as it was begun when the longest wait is over. No error: the
/// purchase is written, and a client that saw one would buy again.
async fn outcome(state: &AppState, begun: PurchaseView) -> PurchaseView {
    if begun.purchase.state != PurchaseState::Pending {
        return begun;
    }
    let mut waiting = state.waiters.wait_for(begun.purchase.id);
    let (asking, id) = (&state.asking, begun.purchase.id);
    if let Some(outcome) = asking.outcome_within(&mut waiting, id, LONGEST_WAIT).await {
        return outcome;
    }
    let left = (begun.purchase.deadline - state.db.now()).to_std();
    asking.follow(waiting, id, left.unwrap_or_default());
    begun
}

fn render_outcome(state: &AppState, view: PurchaseView) -> Result<Response, Problem> {
    let purchase = &view.purchase;
    let location = [(header::LOCATION, format!("/billing/v1/purchases/{}", purchase.id))];
    let status = match purchase.state {
        PurchaseState::Paid | PurchaseState::Refunded => StatusCode::CREATED,
        PurchaseState::Pending => StatusCode::ACCEPTED,
        PurchaseState::Failed(reason) => return Err(why_it_failed(state, &view, reason)),
    };
    Ok((status, location, Json(PurchaseBody::new(&state.books, view))).into_response())
}

fn why_it_failed(state: &AppState, view: &PurchaseView, reason: FailureReason) -> Problem {
    let purchase = &view.purchase;
    let problem = match reason {
        FailureReason::InsufficientFunds => {
            let balance = purchase.balance_after.unwrap_or_default();
            insufficient_funds(state.books.money(purchase.cost()), state.books.money(balance))
        }
        FailureReason::PromocodeRefused => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "promocode_refused",
            "The promocode was refused",
        )
        .reasons(&purchase.refusal_reasons),
        FailureReason::UserBlocked => user_blocked(),
        FailureReason::TimedOut => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "purchase_timed_out",
            "The purchase was given up",
        )
        .detail("The promocode could not be checked in time. Nothing was charged; please try again."),
        FailureReason::PriceChanged => Problem::new(
            StatusCode::CONFLICT,
            "price_changed",
            "The price is not the expected one",
        )
        .detail("Nothing was charged, and no use of a promocode was taken. To buy at this price, make a new purchase.")
        .with("price", json!(state.books.money(purchase.cost()))),
        FailureReason::Cancelled => Problem::new(
            StatusCode::CONFLICT,
            "purchase_cancelled",
            "The purchase was cancelled",
        ),
    };
    problem.with("purchase_id", json!(purchase.id))
}

/// Purchases, the newest first.
#[utoipa::path(get, path = "/purchases",
    security(("access_token" = []), ("access_token" = ["billing.read"])),
    params(OwnerQuery, PurchasesQuery, TimeQuery, PageQuery),
    responses((status = 200, body = Page<PurchaseBody>)))]
pub(super) async fn list_purchases(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
    Query(which): Query<PurchasesQuery>,
    Query(time): Query<TimeQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<PurchaseBody>>, Problem> {
    let (after, limit) = page(&query)?;
    let time = time.checked()?;
    let filter = PurchaseFilter {
        user_id: caller.own_or(owner.user_id, Permission::BillingRead)?,
        status: which.status.map(PurchaseStatus::as_str),
        tariff_id: which.tariff_id,
        from: time.from,
        to: time.to,
        after,
        limit: limit + 1,
    };
    let rows = app::read_purchase::list_purchases(state.db.reader(), &filter).await?;
    let cursor = |row: &PurchaseView| Cursor {
        at: row.purchase.requested_at,
        id: row.purchase.id.0,
    };
    Ok(Json(Page::of(rows, limit, cursor, |row| {
        PurchaseBody::new(&state.books, row)
    })))
}

/// One purchase: one's own; with `billing.read` anyone's.
#[utoipa::path(get, path = "/purchases/{id}", params(("id" = PurchaseId, Path)),
    responses((status = 200, body = PurchaseBody)))]
pub(super) async fn get_purchase(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PurchaseId>,
) -> Result<Json<PurchaseBody>, Problem> {
    let view = app::read_purchase::read_purchase(state.db.reader(), id).await?;
    let may_see =
        |view: &PurchaseView| view.purchase.user_id == caller.user_id || caller.may(Permission::BillingRead);
    let view = view
        .filter(may_see)
        .ok_or_else(|| Problem::not_found("purchase"))?;
    Ok(Json(PurchaseBody::new(&state.books, view)))
}

/// Cancels a purchase of one's own while it is pending; one that is cancelled stays so.
#[utoipa::path(post, path = "/purchases/{id}/cancel", params(("id" = PurchaseId, Path)), responses(
    (status = 200, body = PurchaseBody),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    (status = 409, description = "`purchase_not_pending`: it has ended otherwise.")))]
pub(super) async fn cancel_purchase(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PurchaseId>,
) -> Result<Json<PurchaseBody>, Problem> {
    let (books, user) = (&state.books, caller.own()?);
    let purchase = state
        .db
        .write(|tx| async move { app::cancel_purchase::cancel_purchase(&tx, books, user, id).await })
        .await?;
    Ok(Json(PurchaseBody::new(
        books,
        PurchaseView {
            purchase,
            subscription: None,
        },
    )))
}

/// Gives a paid purchase back: the money returns to the wallet, the subscription ends at once, and
/// those that follow it move up, each for its whole period.
///
/// `Idempotency-Key` as elsewhere: a repeat finds the purchase as it now stands. What a deleted user
/// would get back is kept with what they left.
#[utoipa::path(post, path = "/purchases/{id}/refund",
    security(("access_token" = ["purchases.refund"])),
    params(("id" = PurchaseId, Path), KeyHeader),
    request_body = RefundRequestBody, responses(
    (status = 200, body = PurchaseBody),
    (status = 403, description = "`forbidden`: it needs the permission `purchases.refund`. `own_purchase`: it is the caller's own; another administrator refunds it."),
    (status = 409, description = "`purchase_not_paid`: it is pending, has failed or was refunded.")))]
pub(super) async fn refund_purchase(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PurchaseId>,
    idempotency: Idempotency,
    Json(body): Json<RefundRequestBody>,
) -> Result<Json<PurchaseBody>, Problem> {
    caller.require(Permission::PurchasesRefund)?;
    let keyed = keyed(idempotency, "refund", &(id, &body))?;
    let (books, input) = (
        &state.books,
        &RefundPurchase {
            id,
            by: caller.user_id,
            reason: justification(&body.reason)?,
            keyed,
        },
    );
    let view = state
        .db
        .write(|tx| async move { app::refund_purchase::refund_purchase(&tx, books, input).await })
        .await?;
    Ok(Json(PurchaseBody::new(books, view)))
}

impl From<BuyTariffError> for Problem {
    fn from(error: BuyTariffError) -> Self {
        match error {
            BuyTariffError::NoSuchTariff => Self::not_found("tariff"),
            BuyTariffError::Start(StartError::TariffNotSold) => Self::new(
                StatusCode::CONFLICT,
                "tariff_not_sold",
                "The tariff is not sold any more",
            ),
            BuyTariffError::Throttled(throttled) => throttled.into(),
            BuyTariffError::Claim(error) => error.into(),
            BuyTariffError::Start(StartError::PriceOutOfRange)
            | BuyTariffError::Store(_)
            | BuyTariffError::Together(_) => Self::internal(&error),
        }
    }
}

impl From<RefundError> for Problem {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::NotFound => Self::not_found("purchase"),
            RefundError::Own => Self::new(
                StatusCode::FORBIDDEN,
                "own_purchase",
                "An account can't refund its own purchase",
            )
            .detail("Another administrator has to refund it."),
            RefundError::NotPaid => Self::new(
                StatusCode::CONFLICT,
                "purchase_not_paid",
                "Only a paid purchase can be refunded",
            ),
            RefundError::Claim(error) => error.into(),
            RefundError::Settle(_) | RefundError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::not_found("purchase"),
            CancelError::NotPending => Self::new(
                StatusCode::CONFLICT,
                "purchase_not_pending",
                "The purchase has ended already",
            ),
            CancelError::Settle(_) | CancelError::Store(_) => Self::internal(&error),
        }
    }
}

//! `/providers/{name}/webhook`: what payment providers tell.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use shared::{
    http::{FieldError, Json, Path, Problem, RawJson, present},
    ids::TopUpId,
};
use utoipa::{IntoParams, ToSchema};

use super::{AppState, render::TopUpStatus};
use crate::{
    app::{self, decide_top_up::DecideError},
    providers::{
        Outcome,
        signature::{self, SignatureError},
    },
};

/// The most characters of a provider's reason.
const LONGEST_REASON: usize = 500;

/// What a provider has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    /// The money is there.
    Approved,
    /// There will be none.
    Declined,
}

/// What a provider tells of a top-up.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TopUpDecision)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    top_up_id: TopUpId,
    decision: Decision,
    /// Why it was declined, for the customer; without control characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// A top-up as its provider sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DecidedTopUp)]
pub(super) struct DecidedBody {
    top_up_id: TopUpId,
    status: TopUpStatus,
}

/// The header that signs the body, for the description of the API.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // read from the headers
pub(super) struct SignatureHeader {
    /// `t=SECONDS,v1=HEX`: the second since 1970 at which it was signed, at most five minutes from
    /// now, and the HMAC-SHA256 of that number, a dot and the body under the provider's secret.
    #[param(rename = "Kopeck-Signature", pattern = "^t=[0-9]+,v1=[0-9a-f]{64}")]
    signature: String,
}

/// Takes over what a payment provider has decided about a top-up.
///
/// For providers that decide later, and the sandbox where it is configured to. Needs no token, but the
/// provider's signature. The first decision stands; the same one again changes nothing.
#[utoipa::path(post, path = "/providers/{name}/webhook", security(()),
    params(("name" = String, Path, description = "The provider, such as `sandbox`."), SignatureHeader),
    request_body = DecisionBody, responses(
    (status = 200, body = DecidedBody),
    (status = 401, description = "`invalid_signature`: missing, wrong or out of time."),
    (status = 404, description = "`not_found`: there is no such provider, it sends no webhooks, or there is no such top-up of it."),
    (status = 409, description = "`top_up_decided`: it was decided the other way, and that stands.")))]
pub(super) async fn take_webhook(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: RawJson,
) -> Result<Json<DecidedBody>, Problem> {
    let provider = state
        .provider
        .as_deref()
        .filter(|provider| provider.name().as_str() == name);
    let secret = provider.and_then(|provider| provider.webhook_secret());
    let (Some(provider), Some(secret)) = (provider, secret) else {
        return Err(Problem::not_found("payment provider with webhooks"));
    };
    let header = headers
        .get(signature::HEADER)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    signature::verify(secret.expose_secret().as_bytes(), header, &body.0, state.db.now())
        .map_err(wrong_signature)?;
    let told: DecisionBody = body.read()?;
    let (id, outcome) = (told.top_up_id, &told.outcome()?);
    let (books, provider) = (&state.books, provider.name());
    let decided = state
        .db
        .write(|tx| async move { app::decide_top_up::decide_top_up(&tx, books, provider, id, outcome).await })
        .await;
    match decided {
        Ok(top_up) => Ok(Json(DecidedBody {
            top_up_id: top_up.id,
            status: top_up.state.into(),
        })),
        Err(error) => {
            if matches!(error, DecideError::DecidedOtherwise) {
                tracing::error!(top_up = %id, provider = provider.as_str(), told = ?outcome, "a payment provider contradicts itself");
            }
            Err(error.into())
        }
    }
}

impl DecisionBody {
    fn outcome(&self) -> Result<Outcome, Problem> {
        let wrong = |detail: &str| Err(Problem::invalid(&[FieldError::new("reason", detail)]));
        match (self.decision, self.reason.as_deref().map(str::trim)) {
            (Decision::Approved, None) => Ok(Outcome::Approved),
            (Decision::Approved, Some(_)) => wrong("what is approved has no reason"),
            (Decision::Declined, None) => Ok(Outcome::Declined { reason: None }),
            (Decision::Declined, Some("")) => wrong("it must not be empty; leave it out if there is none"),
            (Decision::Declined, Some(reason)) if reason.chars().count() > LONGEST_REASON => {
                wrong("it has at most 500 characters")
            }
            (Decision::Declined, Some(reason)) if reason.chars().any(char::is_control) => {
                wrong("it has no control characters")
            }
            (Decision::Declined, Some(reason)) => Ok(Outcome::Declined {
                reason: Some(reason.to_owned()),
            }),
        }
    }
}

fn wrong_signature(error: SignatureError) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "invalid_signature",
        "The signature is not valid",
    )
    .detail(error.to_string())
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::NotFound => Self::not_found("top-up"),
            DecideError::DecidedOtherwise => Self::new(
                StatusCode::CONFLICT,
                "top_up_decided",
                "The top-up was decided otherwise",
            ),
            DecideError::Settle(_) | DecideError::Store(_) => Self::internal(&error),
        }
    }
}

//! `Idempotency-Key` on what moves money.

use axum::http::StatusCode;
use serde::Serialize;
use shared::http::{Idempotency, Problem};

use crate::{
    app::claim_key::{ClaimError, Keyed},
    domain::idempotency::RequestHash,
};

/// The key of a request, with what is asked for under it.
pub(super) fn keyed(
    idempotency: Idempotency,
    operation: &str,
    body: &impl Serialize,
) -> Result<Option<Keyed>, Problem> {
    let Some(key) = idempotency.0 else {
        return Ok(None);
    };
    let key = key
        .parse()
        .map_err(|error: crate::domain::idempotency::InvalidKey| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                "The Idempotency-Key can't be used",
            )
            .detail(error.to_string())
        })?;
    let hash = RequestHash::of(operation, body).map_err(|error| Problem::internal(&error))?;
    Ok(Some(Keyed { key, hash }))
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Mismatch => Idempotency::mismatch(),
            ClaimError::InFlight => Idempotency::in_flight(),
            ClaimError::Store(_) => Self::internal(&error),
        }
    }
}

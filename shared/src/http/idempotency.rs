//! `Idempotency-Key`: a client names an operation, so that a repeat of the request finds it.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};

use super::{Problem, single};

const LONGEST: usize = 255;

/// The name that the client gave its operation, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency(pub Option<String>);

impl Idempotency {
    /// 422: the key was used for another request.
    #[must_use]
    pub fn mismatch() -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "The Idempotency-Key was used for another request",
        )
        .detail("Use a new key for a new operation.")
    }

    /// 409: the first request with the key has not come to its end.
    #[must_use]
    pub fn in_flight() -> Problem {
        Problem::new(
            StatusCode::CONFLICT,
            "idempotency_key_in_flight",
            "The first request with this Idempotency-Key is still running",
        )
        .detail("Try again in a moment.")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let invalid = |title| Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", title);
        let header = single(&parts.headers, "idempotency-key")
            .map_err(|_| invalid("The Idempotency-Key must not come more than once"))?;
        let Some(header) = header else {
            return Ok(Self(None));
        };
        match header.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= LONGEST => Ok(Self(Some(key.to_owned()))),
            _ => Err(invalid(
                "The Idempotency-Key must be 1 to 255 visible ASCII characters",
            )),
        }
    }
}

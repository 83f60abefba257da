//! `Idempotency-Key`: a client names an operation, so that a repeat of the request finds it.

use std::fmt::Write as _;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Problem;

const LONGEST: usize = 255;

/// The name that the client gave its operation, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency(pub Option<String>);

impl Idempotency {
    /// A fingerprint of the request, to tell a repeat from another request under the same key:
    /// SHA-256 over the operation's name and the body as this service understood it.
    ///
    /// # Errors
    /// When the body can't be written as JSON.
    pub fn fingerprint(operation: &str, body: &impl Serialize) -> Result<String, serde_json::Error> {
        let mut hash = Sha256::new();
        hash.update(operation.as_bytes());
        hash.update([0]);
        hash.update(serde_json::to_vec(body)?);
        Ok(hash
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                // Writing to a string can't fail.
                let _ = write!(text, "{byte:02x}");
                text
            }))
    }

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
        let Some(header) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        match header.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= LONGEST => Ok(Self(Some(key.to_owned()))),
            _ => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                "The Idempotency-Key must be 1 to 255 visible ASCII characters",
            )),
        }
    }
}

//! axum's extractors, with problem documents instead of plain text when they refuse.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{FieldError, Problem};

/// A body in JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        RawJson::from_request(request, state).await?.read().map(Self)
    }
}

/// A body that is said to be JSON, as it came: for what is signed, which is not to be read before
/// its signature was checked.
#[derive(Clone, Debug)]
pub struct RawJson(pub Bytes);

impl RawJson {
    /// What it says.
    ///
    /// # Errors
    /// 400 or 422 when it is no JSON, or not of that kind.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // serde would take `["RUB", 1]` for an object with these values in the order of its fields.
        if self.0.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_request",
                "The request has invalid fields",
            )
            .detail("The body must be a JSON object."));
        }
        read(&self.0)
    }
}

impl<S: Send + Sync> FromRequest<S> for RawJson {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body must be application/json",
            ));
        }
        let RawBody(body) = RawBody::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// A body of whatever kind, as it came.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "The body is too large",
                )
            } else {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "unreadable_body",
                    "The body can't be read",
                )
                .detail(error.body_text())
            }
        })?;
        Ok(Self(body))
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let error = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(malformed(&error)),
        },
        Err(error) => error,
    };
    // RFC 8259: what is not UTF-8 is no JSON, though serde_json looks only where it reads a text.
    if let Err(error) = str::from_utf8(body) {
        return Err(malformed(&error));
    }
    // serde_json calls it a syntax error too when, say, null stands where an enumeration is
    // expected; what is JSON after all is the client's other kind of mistake.
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(body) {
        return Err(malformed(&error));
    }
    let (field, detail) = (error.path().to_string(), error.inner().to_string());
    // Where in the text it is helps nobody whose client wrote the text.
    let detail = detail.split(" at line ").next().unwrap_or_default().to_owned();
    if field == "." {
        return Err(Problem::invalid(&[]).detail(detail));
    }
    Err(Problem::invalid(&[FieldError::new(field, detail)]))
}

fn malformed(error: &dyn std::error::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is not JSON").detail(error.to_string())
}

/// `application/json`, or any `application/…+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase());
    kind.is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The innermost error: the sentence about the field, without axum's own around it.
fn inner(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Parameters in the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            // An id that can't be one names nothing.
            Err(PathRejection::FailedToDeserializePathParams(_)) => Err(Problem::not_found("resource")),
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}

/// Parameters in the query.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error @ QueryRejection::FailedToDeserializeQueryString(_)) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "The query has invalid parameters",
            )
            .detail(inner(&error))),
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, response::IntoResponse as _};
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::money::Money;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[allow(dead_code)]
        price: Money,
    }

    async fn problem_of(body: &str) -> Value {
        let response = read::<Body>(body.as_bytes()).unwrap_err().into_response();
        serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_wrong_field_is_named_with_its_path() {
        for (body, field) in [
            (r#"{"price": {"amount": "1", "currency": "RUB"}}"#, "price.amount"),
            (r#"{"price": {"amount": 1, "currency": "XYZ"}}"#, "price"),
            (r#"{"price": [1, "RUB"]}"#, "price"),
            (r#"{"price": null}"#, "price"),
        ] {
            let problem = problem_of(body).await;
            assert_eq!(problem["code"], "invalid_request", "{problem}");
            assert_eq!(problem["errors"][0]["field"], field, "{problem}");
            assert!(!problem.to_string().contains("column"), "{problem}");
        }
        let problem = problem_of(r#"{"prise": 1}"#).await;
        assert!(problem.to_string().contains("prise"), "{problem}");
    }

    #[test]
    fn what_is_not_utf8_is_no_json() {
        let problem = read::<Body>(b"{\"\xff\": 1}").unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn what_is_no_json_is_told_from_what_is_wrong() {
        for body in [
            "",
            "{",
            r#"{"price": }"#,
            r#"{"price": {"amount": 1, "currency": "RUB"}} more"#,
        ] {
            assert_eq!(problem_of(body).await["code"], "malformed_json", "{body}");
        }
    }
}

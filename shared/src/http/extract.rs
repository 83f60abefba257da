//! axum's extractors, with problem documents instead of plain text when they refuse.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, OptionalFromRequest, Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, error::Category};
use serde_path_to_error::Segment;

use super::{FieldError, Problem};

/// A body in JSON. As `Option<Json<T>>` it may also be left out, whatever kind it would be said to be of.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        RawJson::from_request(request, state).await?.read().map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let is_json = is_json(request.headers());
        let RawBody(body) = RawBody::from_request(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        if !is_json {
            return Err(unsupported_media_type());
        }
        RawJson(body).read().map(|body| Some(Self(body)))
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
            return Err(unsupported_media_type());
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
    let detail = wrong_constant::<T>(body, &error).unwrap_or(detail);
    // Where in the text it is helps nobody whose client wrote the text.
    let detail = detail.split(" at line ").next().unwrap_or_default().to_owned();
    if field == "." {
        return Err(Problem::invalid(&[]).detail(detail));
    }
    Err(Problem::invalid(&[FieldError::new(field, detail)]))
}

/// Where something else than a text stands for a constant, serde_json says "expected value" and no
/// more. What is said of the same thing as a text names the constants that there are.
fn wrong_constant<T: DeserializeOwned>(
    body: &[u8],
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Option<String> {
    if error.inner().classify() != Category::Syntax {
        return None;
    }
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let mut wrong = &mut body;
    for segment in error.path() {
        wrong = match segment {
            Segment::Map { key } => wrong.get_mut(key)?,
            Segment::Seq { index } => wrong.get_mut(index)?,
            Segment::Enum { .. } | Segment::Unknown => return None,
        };
    }
    *wrong = Value::String(wrong.to_string());
    let again = serde_path_to_error::deserialize::<_, T>(body).err()?;
    // Another field that is wrong may come first now.
    let is_same = again.path().to_string() == error.path().to_string();
    let said = again.inner().to_string();
    (is_same && said.starts_with("unknown variant")).then_some(said)
}

fn unsupported_media_type() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The body must be application/json",
    )
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
    use crate::{contracts::Locale, http::present, money::Money};

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

    #[tokio::test]
    async fn what_stands_for_a_constant_is_answered_with_the_constants() {
        #[derive(Debug, Deserialize)]
        struct Account {
            #[serde(default, deserialize_with = "present")]
            #[allow(dead_code)]
            locale: Option<Locale>,
            #[allow(dead_code)]
            spoken: Option<Vec<Locale>>,
        }
        for (body, field, found) in [
            (r#"{"locale": null}"#, "locale", "null"),
            (r#"{"locale": 1}"#, "locale", "1"),
            (r#"{"locale": []}"#, "locale", "[]"),
            (r#"{"locale": "de"}"#, "locale", "de"),
            (r#"{"spoken": ["en", null]}"#, "spoken[1]", "null"),
            (r#"{"spoken": [1], "locale": "de"}"#, "spoken[0]", "1"),
        ] {
            let response = read::<Account>(body.as_bytes()).unwrap_err().into_response();
            let problem = to_bytes(response.into_body(), 10_000).await.unwrap();
            let problem: Value = serde_json::from_slice(&problem).unwrap();
            let error = &problem["errors"][0];
            assert_eq!(error["field"], field, "{body}: {problem}");
            if body.contains("de") && field != "locale" {
                continue;
            }
            let expected = format!("unknown variant `{found}`, expected `en` or `ru`");
            assert_eq!(error["detail"], expected, "{body}: {problem}");
        }
    }

    /// Sends this body to a route that can do without; what it makes of it.
    async fn optional(content_type: Option<&str>, body: &str) -> Result<Option<Json<Body>>, StatusCode> {
        let mut request = Request::builder();
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(body.to_owned().into()).unwrap();
        let read = <Json<Body> as OptionalFromRequest<()>>::from_request(request, &()).await;
        read.map_err(|problem| problem.status())
    }

    #[tokio::test]
    async fn a_body_that_may_be_left_out_is_read_as_strictly_as_any() {
        let json = Some("application/json");
        for content_type in [None, json, Some("text/plain")] {
            assert!(optional(content_type, "").await.unwrap().is_none());
        }
        let right = r#"{"price": {"amount": 1, "currency": "RUB"}}"#;
        assert!(optional(json, right).await.unwrap().is_some());
        for (content_type, body, status) in [
            (None, right, 415),
            (Some("text/plain"), right, 415),
            (json, "{bad json", 400),
            (json, " ", 400),
            (json, "null", 422),
            (json, "[]", 422),
            (json, r#"{"prise": 1}"#, 422),
        ] {
            let refused = optional(content_type, body).await.unwrap_err();
            assert_eq!(refused.as_u16(), status, "{body}");
        }
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

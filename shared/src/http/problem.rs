//! Errors as clients see them: RFC 9457 problem details with a stable `code`.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sea_orm::DbErr;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{
    batch::BrokenOff,
    contracts::Reason,
    db,
    telemetry::{describe, trace},
    throttle::Throttled,
};

/// One field of a request that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Which: `discount.percent`.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// `field` is wrong, as `detail` says.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            detail: detail.into(),
        }
    }
}

/// An error as a client sees it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Option<String>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem. `code` is stable and for programs, `title` is the same for people.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
            detail: None,
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// What happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Why a promocode was refused.
    #[must_use]
    pub fn reasons(self, reasons: &[Reason]) -> Self {
        self.with("reasons", json!(reasons))
    }

    /// Which fields are wrong.
    #[must_use]
    pub fn errors(self, errors: &[FieldError]) -> Self {
        self.with("errors", json!(errors))
    }

    /// An extension member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// 422: fields of the request are wrong.
    #[must_use]
    pub fn invalid(errors: &[FieldError]) -> Self {
        let problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request",
            "The request has invalid fields",
        );
        if errors.is_empty() {
            problem
        } else {
            problem.errors(errors)
        }
    }

    /// 404: there is no such thing, or it is not the caller's.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found").detail(format!("There is no such {what}."))
    }

    /// 403: it is about the caller's own account, and the caller is a program.
    #[must_use]
    pub fn no_account() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed")
            .detail("This is about one's own account and what belongs to it; a program has none.")
    }

    /// 403: the caller's token does not allow it.
    #[must_use]
    pub fn forbidden(permission: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed")
            .detail(format!("This needs the permission `{permission}`."))
    }

    /// 500 or 503, with the error in the log and not in the answer.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let text = describe(error);
        tracing::error!(error = text, request_id = trace::request_id(), "a request failed");
        if db::is_outage(error) || db::lost_a_race(error) || db::took_too_long(error) {
            return Self::unavailable();
        }
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side",
        )
        .detail("We were told; the request id helps us to find out more.")
    }

    /// 503: to be tried again.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not available at the moment",
        )
        .detail("Please try again.")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }
}

impl From<Throttled> for Problem {
    fn from(throttled: Throttled) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "There were too many attempts",
        )
        .detail(format!("Please try again in {} seconds.", throttled.seconds))
        .header(header::RETRY_AFTER, HeaderValue::from(throttled.seconds))
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        Self::internal(&error)
    }
}

impl From<BrokenOff> for Problem {
    fn from(error: BrokenOff) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:kopeck:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "code": self.code,
        });
        if let Value::Object(members) = &mut body {
            if let Some(detail) = self.detail {
                members.insert("detail".to_owned(), Value::String(detail));
            }
            if let Some(request_id) = trace::request_id() {
                members.insert("request_id".to_owned(), Value::String(request_id));
            }
            members.extend(self.members);
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(self.headers);
        response
    }
}

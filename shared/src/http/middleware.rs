//! Around every route: request id and trace, bounds, and problem documents for what no handler
//! has answered.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use metrics::SharedString;
use tracing::Instrument as _;

use super::Problem;
use crate::{
    contracts::ServiceName,
    telemetry::{
        metrics::{HTTP_REQUEST_DURATION, HTTP_REQUESTS},
        trace::{self, Scope},
    },
};

const LARGEST_BODY: usize = 256 * 1024;
const LONGEST_REQUEST: Duration = Duration::from_secs(30);
const REQUEST_ID: &str = "x-request-id";

/// Puts around `router` what every service has around its routes.
pub fn finish(router: Router) -> Router {
    router
        .fallback(|| async { Problem::not_found("route") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The route has no such method",
            )
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(answer))
}

/// Answers a request in a task of its own: a client that hangs up ends nothing half way, least
/// of all a database transaction, and a panic becomes an answer.
async fn answer(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let scope = Scope {
        request_id: request_id(&request),
        traceparent: traceparent(&request),
        service: service_of(&route),
    };
    let service = scope.service;
    let span = tracing::info_span!(
        "request",
        request_id = scope.request_id,
        trace_id = trace::trace_id(&scope.traceparent),
        %method,
        route,
    );
    let echo = HeaderValue::from_str(&scope.request_id).ok();
    let began = Instant::now();
    let work = trace::within(scope.clone(), async move {
        match tokio::time::timeout(LONGEST_REQUEST, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::unavailable().into_response(),
        }
    });
    let mut response = match tokio::spawn(work.instrument(span.clone())).await {
        Ok(response) => response,
        // In the request's scope again, so that this answer too carries its id.
        Err(error) => {
            let answer = async { Problem::internal(&error).into_response() };
            trace::within(scope, answer.instrument(span.clone())).await
        }
    };
    if let Some(echo) = echo {
        response.headers_mut().insert(REQUEST_ID, echo);
    }
    harden(&mut response);
    let took = began.elapsed();
    span.in_scope(|| log(&method, &route, response.status(), took));
    count(service, &method, route, response.status(), took);
    response
}

/// Whose route it is: the first segment says so.
fn service_of(route: &str) -> Option<ServiceName> {
    let first = route.split('/').nth(1)?;
    ServiceName::ALL
        .into_iter()
        .find(|service| service.as_str() == first)
}

/// Only of what has few values: the route's template, and methods and statuses that there are.
fn count(service: Option<ServiceName>, method: &Method, route: String, status: StatusCode, took: Duration) {
    let service = service.map_or("none", ServiceName::as_str);
    let route = SharedString::from(route);
    let labels = [
        ("service", SharedString::const_str(service)),
        ("method", SharedString::const_str(known(method))),
        ("route", route),
        ("status", SharedString::from(status.as_str().to_owned())),
    ];
    HTTP_REQUESTS.counter(&labels).increment(1);
    HTTP_REQUEST_DURATION.histogram(&labels[..3]).record(took);
}

/// The method, if it is one: a client may call it anything.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn log(method: &Method, route: &str, status: StatusCode, took: Duration) {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if route.contains("/health/") || route == "/metrics" {
        tracing::debug!(%method, route, status = status.as_u16(), milliseconds, "answered");
    } else {
        tracing::info!(status = status.as_u16(), milliseconds, "answered");
    }
}

/// What is said about a person or their money is nobody's to keep or to guess at.
fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// The client's own request id, if it is a sane one.
fn request_id(request: &Request) -> String {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(
            || {
                let trace = trace::root();
                trace::trace_id(&trace).unwrap_or_default().to_owned()
            },
            str::to_owned,
        )
}

fn traceparent(request: &Request) -> String {
    request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .map_or_else(trace::root, trace::child_of)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    async fn panics() -> StatusCode {
        panic!("a bad day")
    }

    #[tokio::test]
    async fn the_answer_to_a_panic_carries_the_request_id() {
        let router = finish(Router::new().route("/", get(panics)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        crate::host::install_crypto();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client
            .get(url)
            .header(REQUEST_ID, "request-1")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["request_id"], "request-1", "{body}");
        assert!(!body.to_string().contains("a bad day"), "{body}");
    }
}

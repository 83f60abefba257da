//! One address in front of all services, as a reverse proxy gives it in production.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use shared::{contracts::ServiceName, http::Problem};
use tokio::net::TcpListener;

const LARGEST_BODY: usize = 1024 * 1024;

type Routes = BTreeMap<ServiceName, Vec<SocketAddr>>;

#[derive(Clone)]
struct Gateway {
    routes: Arc<Routes>,
    turn: Arc<AtomicUsize>,
    client: reqwest::Client,
}

/// Serves the URL space of the whole platform at `listen`: the first segment names the service,
/// whose processes take turns.
pub(super) async fn serve(
    listen: SocketAddr,
    routes: Arc<Routes>,
) -> anyhow::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("{listen} can't be listened on"))?;
    let address = listener.local_addr()?;
    let gateway = Gateway {
        routes,
        turn: Arc::default(),
        client: super::client()?,
    };
    let router = Router::new().fallback(forward).with_state(gateway);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the platform is no longer served");
        }
    });
    Ok((address, task))
}

async fn forward(State(gateway): State<Gateway>, request: Request) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let first = path.split('/').nth(1).unwrap_or_default();
    let Some((_, replicas)) = gateway
        .routes
        .iter()
        .find(|(service, _)| service.as_str() == first)
    else {
        return Problem::not_found("route").into_response();
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is too large",
        )
        .into_response();
    };
    // A process that is down does not answer; the next one may.
    for _ in 0..replicas.len() {
        let turn = gateway.turn.fetch_add(1, Ordering::Relaxed) % replicas.len();
        let mut headers = parts.headers.clone();
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        let sent = gateway
            .client
            .request(parts.method.clone(), format!("http://{}{path}", replicas[turn]))
            .headers(headers)
            .body(body.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => return pass_on(answer).await,
            // Only what has certainly not been acted upon may be sent again.
            Err(error) if error.is_connect() => {}
            Err(error) => {
                tracing::warn!(%error, path, "a service broke off its answer");
                return unreachable_service();
            }
        }
    }
    unreachable_service()
}

async fn pass_on(answer: reqwest::Response) -> Response {
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
    match answer.bytes().await {
        Ok(body) => (status, headers, Body::from(body)).into_response(),
        Err(_) => unreachable_service(),
    }
}

fn unreachable_service() -> Response {
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "bad_gateway",
        "The service does not answer",
    )
    .into_response()
}

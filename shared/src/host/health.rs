//! Whether a service lives and whether it can work.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::json;

use super::Definition;
use crate::{bus::Bus, db::Db};

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
struct Checked {
    db: Db,
    bus: Arc<dyn Bus>,
    definition: Definition,
}

/// `/{service}/health/live` (the process answers) and `/{service}/health/ready` (its database
/// is there and up to date, and its bus takes messages).
pub(super) fn routes(definition: Definition, db: Db, bus: Arc<dyn Bus>) -> Router {
    let service = definition.name;
    Router::new()
        .route(
            &format!("/{service}/health/live"),
            get(|| async { axum::Json(json!({"status": "live"})) }),
        )
        .route(&format!("/{service}/health/ready"), get(ready))
        .with_state(Checked { db, bus, definition })
}

async fn ready(State(checked): State<Checked>) -> Response {
    let database = async {
        checked.db.ping().await.map_err(|error| error.to_string())?;
        match (checked.definition.pending)(checked.db.writer()).await {
            Ok(0) => Ok(()),
            Ok(pending) => Err(format!(
                "{pending} migrations are pending: run `kopeck migrate up`"
            )),
            Err(error) => Err(error.to_string()),
        }
    };
    let bus = async { checked.bus.ready().await.map_err(|error| error.to_string()) };
    let (database, bus) = tokio::join!(bounded(database), bounded(bus));
    let status = if database.is_ok() && bus.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let show = |outcome: Result<(), String>| outcome.err().unwrap_or_else(|| "ok".to_owned());
    let body = json!({
        "status": if status.is_success() { "ready" } else { "not_ready" },
        "checks": {"database": show(database), "bus": show(bus)},
    });
    (status, axum::Json(body)).into_response()
}

async fn bounded(check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(PATIENCE, check)
        .await
        .unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

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

use super::clock;
use crate::{bus::Bus, contracts::ServiceName, db::Db};

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
struct Checked {
    service: ServiceName,
    db: Db,
    bus: Arc<dyn Bus>,
}

/// `/{service}/health/live` (the process answers) and `/{service}/health/ready` (its database
/// answers and its bus takes messages). Anybody may ask, so what is wrong is told to the log.
/// One whose machine's clock is far off is ready and says `degraded`: it goes by the database's clock,
/// and where that one is wrong all replicas would be taken out of service at once.
/// Migrations are no matter of readiness: they are looked at once, at the start, so that a newer
/// program's take no old replica out of service.
pub(super) fn routes(service: ServiceName, db: Db, bus: Arc<dyn Bus>) -> Router {
    Router::new()
        .route(
            &format!("/{service}/health/live"),
            get(|| async { axum::Json(json!({"status": "live"})) }),
        )
        .route(&format!("/{service}/health/ready"), get(ready))
        .with_state(Checked { service, db, bus })
}

async fn ready(State(checked): State<Checked>) -> Response {
    // The reading side: the writing one may have a long queue and still be well.
    let database = async {
        checked
            .db
            .reader()
            .ping()
            .await
            .map_err(|error| error.to_string())
    };
    let bus = async { checked.bus.ready().await.map_err(|error| error.to_string()) };
    let (database, bus) = tokio::join!(bounded(database), bounded(bus));
    let status = if database.is_ok() && bus.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let show = |what, outcome: Result<(), String>| match outcome {
        Ok(()) => "ok",
        Err(error) => {
            tracing::warn!(service = %checked.service, what, error, "not ready");
            "unavailable"
        }
    };
    let is_degraded = clock::is_degraded(&checked.db);
    let body = json!({
        "status": match (status.is_success(), is_degraded) {
            (true, false) => "ready",
            (true, true) => "degraded",
            (false, _) => "not_ready",
        },
        "checks": {
            "database": show("database", database),
            "bus": show("bus", bus),
            "clock": if is_degraded { "degraded" } else { "ok" },
        },
    });
    (status, axum::Json(body)).into_response()
}

async fn bounded(check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(PATIENCE, check)
        .await
        .unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

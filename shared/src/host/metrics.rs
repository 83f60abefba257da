//! `/metrics`, and what has to be looked up for it from time to time.

use std::time::Duration;

use async_trait::async_trait;
use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::get,
};
use sea_orm::DbErr;

use super::{Job, JobError};
use crate::{
    clock::Instant,
    contracts::ServiceName,
    db::Db,
    inbox, outbox,
    telemetry::metrics::{
        self, DB_CONNECTIONS, DB_CONNECTIONS_MAX, INBOX_PARKED, INBOX_RETRY, Metric, OUTBOX_OLDEST,
        OUTBOX_UNACKNOWLEDGED, OUTBOX_WAITING,
    },
};

/// The one route that belongs to the process and to no service, so that a reverse proxy that
/// knows only the services' prefixes does not show it to the world.
pub(super) fn routes() -> Router {
    Router::new().route("/metrics", get(show_metrics))
}

async fn show_metrics() -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render()).into_response()
}

/// The periodic job that looks how much waits in a service's tables and how its connections are
/// used: so that asking for the metrics, however often and by whomever, asks no database.
pub(super) struct SampleMetrics(pub(super) Db);

#[async_trait]
impl Job for SampleMetrics {
    fn name(&self) -> &'static str {
        "sample_metrics"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run(&self) -> Result<(), JobError> {
        let db = &self.0;
        metrics::tidy();
        // First, since most telling when the queries below get no connection.
        sample_pools(db);
        let looked = look(db).await;
        // What was true once would keep the alerts silent, or ringing, for all of an outage.
        show(db.service(), looked.as_ref().ok());
        Ok(looked.map(drop)?)
    }
}

/// What waits in a service's tables.
struct Waiting {
    outbox: outbox::Backlog,
    inbox: inbox::Backlog,
    /// The age of the oldest message that waits to be published.
    oldest: Duration,
    /// The age of the oldest published one that a subscriber has not acknowledged.
    unacknowledged: Duration,
}

async fn look(db: &Db) -> Result<Waiting, DbErr> {
    let outbox = outbox::backlog(db.reader()).await?;
    let now = db.now();
    let age = |at: Option<Instant>| {
        at.and_then(|at| (now - at).to_std().ok())
            .unwrap_or(Duration::ZERO)
    };
    Ok(Waiting {
        oldest: age(outbox.oldest_at),
        unacknowledged: age(outbox.unacknowledged_since),
        outbox,
        inbox: inbox::backlog(db.reader()).await?,
    })
}

/// Without an answer of the database nothing is known: NaN.
fn show(service: ServiceName, waiting: Option<&Waiting>) {
    let service = &[("service", service.as_str())];
    let set = |metric: Metric, figure: fn(&Waiting) -> f64| {
        metric.gauge(service).set(waiting.map_or(f64::NAN, figure));
    };
    set(OUTBOX_WAITING, |waiting| number(waiting.outbox.messages));
    set(OUTBOX_OLDEST, |waiting| waiting.oldest.as_secs_f64());
    set(OUTBOX_UNACKNOWLEDGED, |waiting| {
        waiting.unacknowledged.as_secs_f64()
    });
    set(INBOX_RETRY, |waiting| number(waiting.inbox.retry));
    set(INBOX_PARKED, |waiting| number(waiting.inbox.parked));
}

fn sample_pools(db: &Db) {
    let service = db.service().as_str();
    for used in db.pools() {
        for (state, connections) in [("in_use", used.in_use), ("idle", used.idle)] {
            DB_CONNECTIONS
                .gauge(&[("service", service), ("pool", used.pool), ("state", state)])
                .set(f64::from(connections));
        }
        DB_CONNECTIONS_MAX
            .gauge(&[("service", service), ("pool", used.pool)])
            .set(f64::from(used.max));
    }
}

/// Counts here go to some thousands.
fn number(count: i64) -> f64 {
    i32::try_from(count).map_or(f64::MAX, f64::from)
}

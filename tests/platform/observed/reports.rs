//! Errors are reported to Sentry, which the test plays.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, routing::post};
use reqwest::Method;
use sea_orm::{ActiveValue::Set, ConnectionTrait as _, EntityTrait as _};
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::ServiceName,
    db::{Db, url_of_file},
    ids::MessageId,
    outbox,
    testing::{Api, eventually},
};
use tokio::{net::TcpListener, process::Child};

use crate::{
    command_line::start,
    platform::{interrupt, run_command},
};

const PASSWORD: &str = "a long enough password";
const EMAIL: &str = "anna@mail.example";

/// Takes reports in.
#[derive(Clone, Default)]
struct Ingestion(Arc<Mutex<Vec<String>>>);

impl Ingestion {
    /// It, and the DSN of its only project.
    async fn start() -> (Self, String) {
        let ingestion = Self::default();
        let router = Router::new()
            .route("/api/1/envelope/", post(take))
            .with_state(ingestion.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dsn = format!("http://public@{}/1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (ingestion, dsn)
    }

    /// Waits for an event that fits.
    async fn event(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let envelopes = self.0.lock().unwrap().clone();
            let mut events = envelopes.iter().flat_map(|envelope| {
                let lines = envelope.lines();
                lines.filter_map(|line| serde_json::from_str::<Value>(line).ok())
            });
            std::future::ready(events.find(|event| event["event_id"].is_string() && fits(event)))
        })
        .await
    }
}

async fn take(State(ingestion): State<Ingestion>, envelope: String) -> &'static str {
    ingestion.0.lock().unwrap().push(envelope);
    "{}"
}

/// The platform, which reports to `dsn`. What it logs is read away.
async fn run(folder: &Path, dsn: &str) -> (Child, Api) {
    let (mut child, address) = start(&["run"], folder, &[("KOPECK_SENTRY__DSN", dsn)]).await;
    let mut log = child.stderr.take().unwrap();
    tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
    (child, Api::new(format!("http://{address}")))
}

async fn database(folder: &Path, service: ServiceName) -> Db {
    let url = url_of_file(&folder.join(format!("{service}.db")));
    let (db, _) = Db::connect(service, &url, Arc::new(SystemClock)).await.unwrap();
    db
}

/// Somebody whose letters can't be read, since their table is gone.
async fn somebody_without_letters(folder: &Path, api: &Api) -> Api {
    let body = json!({"email": EMAIL, "password": PASSWORD});
    api.post("/auth/v1/register", &body).await.expect(201);
    let tokens = api.post("/auth/v1/login", &body).await.expect(200);
    let notifications = database(folder, ServiceName::Notifications).await;
    notifications
        .writer()
        .execute_unprepared("ALTER TABLE letters RENAME TO lost_letters")
        .await
        .unwrap();
    api.with_token(tokens["access_token"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_reported_with_its_tags_and_without_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let (ingestion, dsn) = Ingestion::start().await;
    let (child, api) = run(folder.path(), &dsn).await;
    let now = SystemClock.now();
    // What can't be read is repeated in the error.
    let row = outbox::entity::ActiveModel {
        id: Set(MessageId::new(now)),
        body: Set(json!(EMAIL).to_string()),
        created_at: Set(now),
        leased_until: Set(now),
        ..Default::default()
    };
    let billing = database(folder.path(), ServiceName::Billing).await;
    outbox::entity::Entity::insert(row)
        .exec_without_returning(billing.writer())
        .await
        .unwrap();
    let event = ingestion
        .event("the row is reported", |event| {
            event["tags"]["service"] == "billing"
        })
        .await;
    let said = &event["exception"]["values"][0];
    assert_eq!(said["type"], "an outbox row can't be read", "{event:#}");
    assert!(said["value"].as_str().unwrap().contains("[removed]"), "{event:#}");
    assert_eq!(event["release"], concat!("kopeck@", env!("CARGO_PKG_VERSION")));
    assert_eq!(event["environment"], "development");

    let anna = somebody_without_letters(folder.path(), &api).await;
    let request = anna
        .request(Method::GET, "/notifications/v1/letters")
        .header("x-request-id", "request-1")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    anna.send(request).await.expect_problem(500, "internal_error");
    let event = ingestion
        .event("the request is reported", |event| {
            event["tags"]["request_id"] == "request-1"
        })
        .await;
    assert_eq!(event["tags"]["service"], "notifications");
    assert_eq!(event["tags"]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(event["exception"]["values"][0]["type"], "a request failed");

    assert!(interrupt(child).await.success());
    let all = ingestion.0.lock().unwrap().join("\n");
    for secret in [
        EMAIL,
        PASSWORD,
        "eyJ",
        "authorization",
        "\"request\":",
        "\"user\":",
    ] {
        assert!(!all.contains(secret), "{secret} is in {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentry_that_never_answers_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("http://public@{}/1", listener.local_addr().unwrap());
    // Connections are taken, and nothing is ever said on them.
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            kept.lock().unwrap().push(stream);
        }
    });
    let (child, api) = run(folder.path(), &dsn).await;
    let anna = somebody_without_letters(folder.path(), &api).await;
    let began = Instant::now();
    // More than the queue to Sentry holds.
    for _ in 0..60 {
        anna.get("/notifications/v1/letters")
            .await
            .expect_problem(500, "internal_error");
    }
    // The first of them alone is waited for by its own thread for five seconds.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(!taken.lock().unwrap().is_empty(), "Sentry was called");
    api.get("/billing/health/ready").await.expect(200);
    let began = Instant::now();
    assert!(interrupt(child).await.success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_dsn_that_cannot_be_read_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("KOPECK_DATA", folder.path().to_str().unwrap()),
        ("KOPECK_LISTEN", "127.0.0.1:0"),
        ("KOPECK_SENTRY__DSN", "https://sentry.example/hunter2"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let output = run_command(&["run"], &environment, "").await;
    assert!(!output.status.success());
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("sentry.dsn"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

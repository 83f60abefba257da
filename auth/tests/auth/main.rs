//! Auth over HTTP, with the test in the place of every other service.

#![allow(clippy::expect_used, clippy::unwrap_used)] // a test fails by panicking

mod accounts;
mod blocking;
mod clients;
mod document;
mod keys;
mod letters;
mod logins;
mod own_account;
mod replicas;
mod roles;
mod sessions;
mod throttling;
mod tokens;
mod users;

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    clock::SystemClock,
    ids::UserId,
    testing::{Api, TestDatabase, TestService},
};

const PASSWORD: &str = "correct horse";
const DATABASES: [TestDatabase; 2] = [TestDatabase::Sqlite, TestDatabase::Postgres];

async fn start(database: TestDatabase) -> TestService {
    TestService::start(auth::definition(), database).await
}

/// Registers somebody with [`PASSWORD`]; what the API answers.
async fn register(api: &Api, email: &str) -> Value {
    api.post(
        "/auth/v1/register",
        &json!({"email": email, "password": PASSWORD}),
    )
    .await
    .expect(201)
}

/// The id in what the API says of a user.
fn id_of(user: &Value) -> UserId {
    user["id"].as_str().expect("an id").parse().expect("a UUID")
}

/// Starts the service with no bound on failed logins: for tests that fail many.
async fn start_unthrottled(database: TestDatabase) -> TestService {
    TestService::start_with(
        auth::definition(),
        database,
        std::sync::Arc::new(SystemClock),
        |config| {
            config.auth.max_failed_logins = u32::MAX;
            config.auth.max_failed_logins_per_address = u32::MAX;
        },
    )
    .await
}

/// A new token of somebody with [`PASSWORD`].
async fn log_in(api: &Api, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD});
    let answer = api.post("/auth/v1/login", &body).await.expect(200);
    answer["access_token"].as_str().expect("a token").to_owned()
}

/// A new user's id and the API as they see it.
async fn user(service: &TestService, email: &str) -> (UserId, Api) {
    let id = id_of(&register(&service.api, email).await);
    (id, service.api.with_token(log_in(&service.api, email).await))
}

/// A new administrator's id and the API as they see it; made as the command line does.
async fn admin(service: &TestService, email: &str) -> (UserId, Api) {
    let id = auth::create_admin(&service.db, email, SecretString::from(PASSWORD))
        .await
        .expect("an administrator");
    (id, service.api.with_token(log_in(&service.api, email).await))
}

//! Auth over HTTP, with the test in the place of every other service.

#![allow(clippy::expect_used, clippy::unwrap_used)] // a test fails by panicking

mod accounts;
mod blocked_letters;
mod blocking;
mod clients;
mod held;
mod keys;
mod letters;
mod logins;
mod own_account;
mod refreshing;
mod replicas;
mod roles;
mod routes;
mod sessions;
mod throttling;
mod tokens;
mod users;
mod withdrawals;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use shared::{
    clock::SystemClock,
    contracts::Permission,
    ids::UserId,
    testing::{Api, TestDatabase, TestService},
    token::ServiceTokens,
};

const PASSWORD: &str = "correct horse";
const DATABASES: [TestDatabase; 2] = [TestDatabase::Sqlite, TestDatabase::Postgres];

async fn start(database: TestDatabase) -> TestService {
    TestService::start_with(
        auth::definition(),
        database,
        std::sync::Arc::new(SystemClock),
        |config| config.notifications.client_secret = Some(SecretString::from(MAILER_SECRET)),
    )
    .await
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

/// Starts the service with no bound on what comes from one address: for tests that fail many logins,
/// and whose users are many.
async fn start_unthrottled(database: TestDatabase) -> TestService {
    TestService::start_with(
        auth::definition(),
        database,
        std::sync::Arc::new(SystemClock),
        |config| {
            config.auth.max_failed_logins = u32::MAX;
            config.auth.max_failed_logins_per_address = u32::MAX;
            config.auth.max_registrations_per_address = u32::MAX;
            config.auth.max_letters_per_address = u32::MAX;
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

/// What notifications shows.
const MAILER_SECRET: &str = "what notifications shows to learn secrets";

/// The API as notifications sees it, of a service that was told [`MAILER_SECRET`].
async fn mailer(service: &TestService) -> Api {
    let tokens = ServiceTokens::new(
        service.api.base(),
        "notifications",
        SecretString::from(MAILER_SECRET),
        reqwest::Client::new(),
        std::sync::Arc::new(SystemClock),
    );
    let token = tokens.token().await.expect("a token");
    service.api.with_token(token)
}

/// The API as a new program with these permissions sees it, and its id.
async fn program(service: &TestService, name: &str, permissions: &[Permission]) -> (UserId, Api) {
    let permissions = permissions.iter().copied().collect();
    let (client, secret) = auth::create_client(&service.db, name, permissions)
        .await
        .expect("a program");
    let request = service
        .api
        .request(reqwest::Method::POST, "/auth/v1/token")
        .basic_auth(client.id, Some(secret.expose_secret()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let answer = service.api.send(request).await.expect(200);
    let token = answer["access_token"].as_str().expect("a token");
    (client.id, service.api.with_token(token))
}

/// A new user's id and the API as they see it, with a role that allows just this.
async fn staff(
    service: &TestService,
    root: &Api,
    email: &str,
    role: &str,
    permissions: &[Permission],
) -> (UserId, Api) {
    let body = json!({"name": role, "permissions": permissions});
    root.post("/auth/v1/roles", &body).await.expect(201);
    let (id, _) = user(service, email).await;
    let request = root.request(reqwest::Method::PUT, &format!("/auth/v1/users/{id}/roles"));
    let request = request.json(&json!({"roles": ["user", role]}));
    root.send(request).await.expect(200);
    (id, service.api.with_token(log_in(&service.api, email).await))
}

/// A new administrator's id and the API as they see it; made as the command line does.
async fn admin(service: &TestService, email: &str) -> (UserId, Api) {
    let id = auth::create_admin(&service.db, email, SecretString::from(PASSWORD))
        .await
        .expect("an administrator");
    (id, service.api.with_token(log_in(&service.api, email).await))
}

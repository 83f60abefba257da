//! Notifications as its users and the other services see it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod blocking;
mod duplicates;
mod inbox;
mod letters;
mod mail;
mod post_office;
mod preferences;
mod replicas;
mod routes;
mod said;

use serde_json::Value;
use shared::{
    ids::UserId,
    testing::{Api, TestDatabase, TestService},
};

async fn start(database: TestDatabase) -> TestService {
    TestService::start(notifications::definition(), database).await
}

/// The first page of what `api` finds in its inbox.
async fn inbox(api: &Api) -> Vec<Value> {
    let page = api.get("/notifications/v1/letters?limit=200").await.expect(200);
    assert!(
        page.get("next_cursor").is_none(),
        "more letters than a page takes"
    );
    page["items"].as_array().unwrap().clone()
}

async fn inbox_of(service: &TestService, user: UserId) -> Vec<Value> {
    inbox(&service.api_of(user)).await
}

fn kinds(letters: &[Value]) -> Vec<&str> {
    letters
        .iter()
        .map(|letter| letter["kind"].as_str().unwrap())
        .collect()
}

async fn unread(api: &Api) -> u64 {
    let count = api
        .get("/notifications/v1/letters/unread-count")
        .await
        .expect(200);
    count["unread"].as_u64().unwrap()
}

/// What a letter says, with ordinary spaces.
fn plain(text: &Value) -> String {
    text.as_str().unwrap().replace('\u{a0}', " ")
}

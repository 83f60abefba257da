//! How sessions go on, and how they end.

use std::sync::Arc;

use chrono::Duration;
use reqwest::Method;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{ServiceName, SessionEndedV1},
    testing::{Answer, Api, TestDatabase, TestService},
};

use crate::{DATABASES, PASSWORD, admin, register, start, tokens::claims_of, user};

/// What a login hands out.
pub async fn tokens(api: &Api, email: &str) -> Value {
    let body = json!({"email": email, "password": PASSWORD});
    api.post("/auth/v1/login", &body).await.expect(200)
}

pub fn refresh_token(tokens: &Value) -> String {
    tokens["refresh_token"].as_str().unwrap().to_owned()
}

pub fn access(service: &TestService, tokens: &Value) -> Api {
    service.api.with_token(tokens["access_token"].as_str().unwrap())
}

pub async fn refresh(api: &Api, token: &str) -> Answer {
    api.post("/auth/v1/refresh", &json!({"refresh_token": token}))
        .await
}

pub async fn refresh_as(api: &Api, token: &str, user_agent: &str) -> Answer {
    let request = api.request(Method::POST, "/auth/v1/refresh");
    let request = request.header("user-agent", user_agent);
    api.send(request.json(&json!({"refresh_token": token}))).await
}

async fn delete(api: &Api, path: &str) -> Answer {
    api.send(api.request(Method::DELETE, path)).await
}

pub async fn start_with_clock(database: TestDatabase) -> (TestService, ManualClock) {
    let clock = ManualClock::at(SystemClock.now());
    let service =
        TestService::start_with(auth::definition(), database, Arc::new(clock.clone()), |_| {}).await;
    (service, clock)
}

#[tokio::test]
async fn a_session_goes_on_with_a_new_pair_each_time() {
    for database in DATABASES {
        let service = start(database).await;
        register(&service.api, "ann@example.com").await;
        let first = tokens(&service.api, "ann@example.com").await;
        let answer = refresh(&service.api, &refresh_token(&first)).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        let second = answer.expect(200);
        assert_eq!(
            (&second["token_type"], &second["expires_in"]),
            (&json!("Bearer"), &json!(900))
        );
        assert_ne!(refresh_token(&first), refresh_token(&second));
        assert_ne!(first["access_token"], second["access_token"]);
        let sid = |tokens: &Value| claims_of(tokens["access_token"].as_str().unwrap())["sid"].clone();
        assert_eq!(sid(&first), sid(&second), "it is the same session");
        access(&service, &second).get("/auth/v1/me").await.expect(200);
        access(&service, &first).get("/auth/v1/me").await.expect(200);
        let third = refresh(&service.api, &refresh_token(&second)).await.expect(200);
        access(&service, &third).get("/auth/v1/me").await.expect(200);
    }
}

#[tokio::test]
async fn refresh_tokens_are_not_kept() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let token = refresh_token(&tokens(&service.api, "ann@example.com").await);
    let conn = service.db.reader();
    let query = Statement::from_string(conn.get_database_backend(), "SELECT hash FROM refresh_tokens");
    let rows = conn.query_all_raw(query).await.unwrap();
    let hashes: Vec<String> = rows.iter().map(|row| row.try_get("", "hash").unwrap()).collect();
    assert_eq!(hashes.len(), 1);
    assert!(
        !hashes[0].contains(&token) && hashes[0].len() == 43,
        "SHA-256, base64url"
    );
}

#[tokio::test]
async fn logging_out_ends_this_session_and_logging_out_everywhere_all() {
    for database in DATABASES {
        let service = start(database).await;
        register(&service.api, "ann@example.com").await;
        let (_, bob) = user(&service, "bob@example.com").await;
        let mut sessions = Vec::new();
        for _ in 0..3 {
            sessions.push(tokens(&service.api, "ann@example.com").await);
        }
        let log_out = |which: usize, path: &'static str| {
            let api = access(&service, &sessions[which]);
            async move { api.post(path, &Value::Null).await }
        };
        log_out(0, "/auth/v1/logout").await.expect(204);
        log_out(0, "/auth/v1/logout")
            .await
            .expect_problem(401, "invalid_token");
        refresh(&service.api, &refresh_token(&sessions[0]))
            .await
            .expect_problem(401, "invalid_refresh_token");
        access(&service, &sessions[1])
            .get("/auth/v1/me")
            .await
            .expect(200);
        log_out(1, "/auth/v1/logout-all").await.expect(204);
        for tokens in &sessions {
            access(&service, tokens)
                .get("/auth/v1/me")
                .await
                .expect_problem(401, "invalid_token");
            refresh(&service.api, &refresh_token(tokens))
                .await
                .expect_problem(401, "invalid_refresh_token");
        }
        for tokens in &sessions {
            let sid = claims_of(tokens["access_token"].as_str().unwrap())["sid"].clone();
            let event = service
                .peers
                .hears::<SessionEndedV1>(ServiceName::Loyalty, |event| json!(event.session_id) == sid)
                .await;
            assert_eq!(
                json!(event.user_id),
                claims_of(tokens["access_token"].as_str().unwrap())["sub"]
            );
        }
        bob.get("/auth/v1/me").await.expect(200);
        for path in ["/auth/v1/logout", "/auth/v1/logout-all"] {
            service
                .api
                .post(path, &Value::Null)
                .await
                .expect_problem(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn sessions_are_seen_and_ended_one_by_one_and_only_by_their_owner() {
    for database in DATABASES {
        let service = start(database).await;
        register(&service.api, "ann@example.com").await;
        let (_, bob) = user(&service, "bob@example.com").await;
        let one = tokens(&service.api, "ann@example.com").await;
        let two = tokens(&service.api, "ann@example.com").await;
        refresh_as(&service.api, &refresh_token(&two), "browser/2")
            .await
            .expect(200);
        let (api, other) = (access(&service, &one), access(&service, &two));
        let page = api.get("/auth/v1/me/sessions").await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), 2, "{page:#}");
        assert_eq!(
            (&items[0]["current"], &items[1]["current"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(items[0]["user_agent"], "browser/2", "as it came last");
        assert_eq!(items[0]["address"], "127.0.0.1");
        assert!(items[0]["last_used_at"].as_str() > items[0]["created_at"].as_str());
        let first_page = api.get("/auth/v1/me/sessions?limit=1").await.expect(200);
        let cursor = first_page["next_cursor"].as_str().unwrap();
        let second_page = api
            .get(&format!("/auth/v1/me/sessions?limit=1&cursor={cursor}"))
            .await
            .expect(200);
        assert_eq!(
            (&first_page["items"][0], &second_page["items"][0]),
            (&items[0], &items[1])
        );

        let path = format!("/auth/v1/me/sessions/{}", items[0]["id"].as_str().unwrap());
        delete(&bob, &path).await.expect_problem(404, "not_found");
        delete(&api, "/auth/v1/me/sessions/nonsense")
            .await
            .expect_problem(404, "not_found");
        other.get("/auth/v1/me").await.expect(200);
        delete(&api, &path).await.expect(204);
        delete(&api, &path).await.expect_problem(404, "not_found");
        other
            .get("/auth/v1/me")
            .await
            .expect_problem(401, "invalid_token");
        let page = api.get("/auth/v1/me/sessions").await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 1);
        let own = format!(
            "/auth/v1/me/sessions/{}",
            page["items"][0]["id"].as_str().unwrap()
        );
        delete(&api, &own).await.expect(204);
        api.get("/auth/v1/me").await.expect_problem(401, "invalid_token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_too_many_sessions_the_one_that_was_unused_longest_ends() {
    for database in DATABASES {
        let (service, clock) = start_with_clock(database).await;
        let ann = register(&service.api, "ann@example.com").await;
        let mut all = Vec::new();
        for _ in 0..100 {
            clock.advance(Duration::seconds(1));
            all.push(tokens(&service.api, "ann@example.com").await);
        }
        // The first one is used once more, so that the second was unused longest.
        clock.advance(Duration::seconds(1));
        all[0] = refresh(&service.api, &refresh_token(&all[0])).await.expect(200);
        for one in [&all[0], &all[1], &all[99]] {
            access(&service, one).get("/auth/v1/me").await.expect(200);
        }
        let (next, last) = tokio::join!(
            tokens(&service.api, "ann@example.com"),
            tokens(&service.api, "ann@example.com")
        );
        for ended in [&all[1], &all[2]] {
            access(&service, ended)
                .get("/auth/v1/me")
                .await
                .expect_problem(401, "invalid_token");
            refresh(&service.api, &refresh_token(ended))
                .await
                .expect_problem(401, "invalid_refresh_token");
            let sid = &claims_of(ended["access_token"].as_str().unwrap())["sid"];
            let said = service
                .peers
                .hears::<SessionEndedV1>(ServiceName::Loyalty, |event| json!(event.session_id) == *sid)
                .await;
            assert_eq!(json!(said.user_id), ann["id"]);
        }
        for one in [&all[0], &all[3], &all[99], &next, &last] {
            access(&service, one).get("/auth/v1/me").await.expect(200);
        }
        assert_eq!(
            service.peers.heard::<SessionEndedV1>(ServiceName::Loyalty).len(),
            2
        );
    }
}

#[tokio::test]
async fn a_block_ends_all_sessions_for_good() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, admin) = admin(&service, "root@example.com").await;
        let id = crate::id_of(&register(&service.api, "ann@example.com").await);
        let session = tokens(&service.api, "ann@example.com").await;
        admin
            .post(&format!("/auth/v1/users/{id}/block"), &json!({}))
            .await
            .expect(200);
        refresh(&service.api, &refresh_token(&session))
            .await
            .expect_problem(403, "user_blocked");
        service
            .peers
            .hears::<SessionEndedV1>(ServiceName::Notifications, |event| event.user_id == id)
            .await;
        admin
            .post(&format!("/auth/v1/users/{id}/unblock"), &json!({}))
            .await
            .expect(200);
        refresh(&service.api, &refresh_token(&session))
            .await
            .expect_problem(401, "invalid_refresh_token");
        let entries = admin.get("/auth/v1/audit?limit=2").await.expect(200);
        let actions: Vec<_> = entries["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (entry["action"].as_str().unwrap(), &entry["subject"]))
            .collect();
        assert_eq!(
            actions,
            [("user.unblock", &json!(id)), ("user.block", &json!(id))]
        );
    }
}

/// A refresh and a logout of the same session at once: whoever comes first, none is left in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refresh_slips_through_a_logout() {
    for database in DATABASES {
        let service = start(database).await;
        register(&service.api, "ann@example.com").await;
        for _ in 0..5 {
            let first = tokens(&service.api, "ann@example.com").await;
            let token = refresh_token(&first);
            let api = access(&service, &first);
            let (refreshed, logged_out) = tokio::join!(
                refresh(&service.api, &token),
                api.post("/auth/v1/logout", &Value::Null)
            );
            logged_out.expect(204);
            if refreshed.status == 200 {
                refresh(&service.api, &refresh_token(&refreshed.body))
                    .await
                    .expect_problem(401, "invalid_refresh_token");
            } else {
                refreshed.expect_problem(401, "invalid_refresh_token");
            }
        }
    }
}

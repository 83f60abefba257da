//! What takes a permission away ends the sessions that carry it.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, Statement, Value as Parameter};
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{Permission, ServiceName, SessionEndedV1},
    ids::{SessionId, UserId},
    testing::{Answer, Api, TestService, eventually},
};

use crate::{
    DATABASES, admin, log_in, program,
    sessions::{access, refresh, refresh_token, tokens},
    start, start_unthrottled,
    tokens::claims_of,
    user,
};

async fn assign(api: &Api, user: UserId, roles: Value) {
    let request = api.request(Method::PUT, &format!("/auth/v1/users/{user}/roles"));
    let request = request.json(&json!({"roles": roles}));
    api.send(request).await.expect(200);
}

async fn role(api: &Api, name: &str, permissions: &[&str]) {
    let body = json!({"name": name, "permissions": permissions});
    api.post("/auth/v1/roles", &body).await.expect(201);
}

async fn allow(api: &Api, name: &str, permissions: &[&str]) -> Answer {
    let body = json!({"permissions": permissions});
    api.patch(&format!("/auth/v1/roles/{name}"), &body).await
}

/// What a login of this user gets: the tokens, and the API as its session sees it.
async fn session(service: &TestService, email: &str) -> (Value, Api) {
    let tokens = tokens(&service.api, email).await;
    let api = access(service, &tokens);
    (tokens, api)
}

async fn goes_on(api: &Api, why: &str) {
    let answer = api.get("/auth/v1/me").await;
    assert_eq!(answer.status.as_u16(), 200, "{why}");
}

async fn has_ended(service: &TestService, session: &(Value, Api), why: &str) {
    let (tokens, api) = session;
    let answer = api.get("/auth/v1/me").await;
    assert_eq!(answer.body["code"], "invalid_token", "{why}");
    let sid = claims_of(tokens["access_token"].as_str().unwrap())["sid"].clone();
    service
        .peers
        .hears::<SessionEndedV1>(ServiceName::Billing, |event| json!(event.session_id) == sid)
        .await;
    refresh(&service.api, &refresh_token(tokens))
        .await
        .expect_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn a_role_that_is_taken_ends_the_sessions_that_carry_it_and_one_that_is_given_none() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        role(&root, "auditor", &["audit.read", "users.read"]).await;
        role(&root, "reader", &["users.read"]).await;
        let (ann, _) = user(&service, "ann@example.com").await;
        let (bob, _) = user(&service, "bob@example.com").await;
        assign(&root, bob, json!(["user", "auditor"])).await;
        let (_, neighbour) = session(&service, "bob@example.com").await;

        let first = session(&service, "ann@example.com").await;
        assign(&root, ann, json!(["user", "reader"])).await;
        goes_on(&first.1, "a role is given").await;
        let second = session(&service, "ann@example.com").await;
        assign(&root, ann, json!(["user", "auditor"])).await;
        goes_on(&second.1, "the other role allows as much").await;
        let third = session(&service, "ann@example.com").await;
        third.1.get("/auth/v1/audit").await.expect(200);
        assign(&root, ann, json!(["user", "reader"])).await;
        for session in [&first, &second, &third] {
            has_ended(&service, session, "the other role allows less").await;
        }
        let (_, fresh) = session(&service, "ann@example.com").await;
        fresh.get("/auth/v1/users").await.expect(200);
        fresh.get("/auth/v1/audit").await.expect_problem(403, "forbidden");
        neighbour.get("/auth/v1/audit").await.expect(200);
    }
}

#[tokio::test]
async fn a_role_that_allows_less_ends_the_sessions_of_those_who_lose_by_it() {
    for database in DATABASES {
        let service = start(database).await;
        let (root_id, root) = admin(&service, "root@example.com").await;
        role(&root, "auditor", &["audit.read", "users.read"]).await;
        role(&root, "reader", &["users.read"]).await;
        let (ann, _) = user(&service, "ann@example.com").await;
        let (bob, _) = user(&service, "bob@example.com").await;
        assign(&root, ann, json!(["user", "auditor"])).await;
        assign(&root, bob, json!(["user", "auditor", "reader"])).await;
        assign(&root, root_id, json!(["admin", "auditor"])).await;
        let of_ann = session(&service, "ann@example.com").await;
        let of_bob = session(&service, "bob@example.com").await;

        let path = "/auth/v1/roles/auditor";
        root.patch(path, &json!({"description": "Looks"}))
            .await
            .expect(200);
        let more = ["audit.read", "users.read", "letters.read"];
        allow(&root, "auditor", &more).await.expect(200);
        allow(&root, "auditor", &more).await.expect(200);
        goes_on(&of_ann.1, "the role allows as much and more").await;

        allow(&root, "auditor", &["audit.read", "letters.read"])
            .await
            .expect(200);
        has_ended(&service, &of_ann, "they lose `users.read`").await;
        goes_on(&of_bob.1, "they have `users.read` by another role").await;
        goes_on(&root, "an administrator may do everything all the same").await;

        allow(&root, "auditor", &[]).await.expect(200);
        has_ended(&service, &of_bob, "they lose `audit.read`").await;
        goes_on(&root, "an administrator may do everything all the same").await;
        let token = log_in(&service.api, "bob@example.com").await;
        assert_eq!(claims_of(&token)["permissions"], json!(["users.read"]));
    }
}

/// Users with this role and a session each, written into the database.
async fn holders(service: &TestService, role: &str, count: usize) -> Vec<SessionId> {
    let conn = service.db.writer();
    let backend = conn.get_database_backend();
    let now = SystemClock.now();
    let run = async |sql: &str, values: Vec<Parameter>| {
        // PostgreSQL's placeholders are understood by both.
        let statement = Statement::from_sql_and_values(backend, sql, values);
        conn.execute_raw(statement).await.unwrap();
    };
    let mut sessions = Vec::new();
    for n in 0..count {
        let (user, session) = (UserId::new(now), SessionId::new(now));
        let email = format!("holder-{n}@example.com");
        run(
            "INSERT INTO users (id, email, email_normal, password_hash, status, locale, version, \
             registered_at, email_confirmed) VALUES ($1, $2, $2, '', 'active', 'en', 1, $3, false)",
            vec![user.into(), email.into(), now.into()],
        )
        .await;
        run(
            "INSERT INTO user_roles (user_id, role) VALUES ($1, $2)",
            vec![user.into(), role.into()],
        )
        .await;
        run(
            "INSERT INTO sessions (id, user_id, created_at, last_used_at) VALUES ($1, $2, $3, $3)",
            vec![session.into(), user.into(), now.into()],
        )
        .await;
        sessions.push(session);
    }
    sessions
}

/// More users than lose their sessions in the transaction that changes the role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_very_many_have_ends_all_their_sessions_once() {
    const MANY: usize = 450;
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        role(&root, "reader", &["users.read"]).await;
        let sessions = holders(&service, "reader", MANY).await;
        allow(&root, "reader", &[]).await.expect(200);
        let ended = || service.peers.heard::<SessionEndedV1>(ServiceName::Billing);
        eventually("every session has ended", || async {
            (ended().len() >= MANY).then_some(())
        })
        .await;
        let found: BTreeSet<_> = ended().iter().map(|event| event.session_id).collect();
        assert_eq!(found, sessions.into_iter().collect(), "{database:?}");
        let left = || async {
            let conn = service.db.reader();
            let sql = "SELECT id FROM withdrawals";
            let statement = Statement::from_string(conn.get_database_backend(), sql);
            conn.query_all_raw(statement).await.unwrap()
        };
        eventually("nothing is left to do", || async {
            left().await.is_empty().then_some(())
        })
        .await;
        assert_eq!(ended().len(), MANY, "each once");
    }
}

/// Tokens that are issued while a role loses a permission: those that still carry it have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_that_is_issued_meanwhile_keeps_what_was_withdrawn() {
    for database in DATABASES {
        let service = start_unthrottled(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        role(&root, "reader", &["users.read"]).await;
        let emails: Vec<_> = (0..4).map(|n| format!("reader-{n}@example.com")).collect();
        for email in &emails {
            let (id, _) = user(&service, email).await;
            assign(&root, id, json!(["user", "reader"])).await;
        }
        for _ in 0..3 {
            allow(&root, "reader", &["users.read"]).await.expect(200);
            let begun = join_all(emails.iter().map(|email| tokens(&service.api, email))).await;
            let issued = async {
                let again = begun.iter().map(refresh_token);
                let again: Vec<_> = again.collect();
                let refreshed = join_all(again.iter().map(|token| refresh(&service.api, token)));
                let logged_in = join_all(emails.iter().map(|email| tokens(&service.api, email)));
                let (refreshed, logged_in) = tokio::join!(refreshed, logged_in);
                let refreshed = refreshed.into_iter().filter(|answer| answer.status == 200);
                refreshed
                    .map(|answer| answer.body)
                    .chain(logged_in)
                    .collect::<Vec<_>>()
            };
            let withdrawn = async { allow(&root, "reader", &[]).await.expect(200) };
            let (issued, _) = tokio::join!(issued, withdrawn);
            for tokens in begun.iter().chain(&issued) {
                let answer = access(&service, tokens).get("/auth/v1/users").await;
                assert!(
                    matches!(answer.status.as_u16(), 401 | 403),
                    "{database:?}: {}",
                    answer.status
                );
            }
        }
    }
}

#[tokio::test]
async fn a_program_that_is_disabled_is_announced_to_every_service() {
    for database in DATABASES {
        let service = start(database).await;
        let (id, api) = program(&service, "shop", &[Permission::UsersRead]).await;
        api.get("/auth/v1/users").await.expect(200);
        auth::disable_client(&service.db, "shop").await.unwrap();
        api.get("/auth/v1/users")
            .await
            .expect_problem(401, "invalid_token");
        let ended = service
            .peers
            .hears::<SessionEndedV1>(ServiceName::Billing, |event| event.user_id == id)
            .await;
        assert_eq!(ended.session_id, SessionId::of_program(id));
    }
}

//! What an owner does with their account: changes it, gives it another password, deletes it.

use reqwest::Method;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use shared::{
    contracts::{
        Locale, ServiceName, SessionEndedV1, UserDeletedV1, UserRegisteredV1, UserStatus, UserUpdatedV1,
    },
    ids::UserId,
    testing::{Answer, Api, TestDatabase, TestService},
};

use crate::{DATABASES, PASSWORD, admin, id_of, log_in, register, start, user};

async fn delete(api: &Api, path: &str, body: &Value) -> Answer {
    api.send(api.request(Method::DELETE, path).json(body)).await
}

async fn delete_me(api: &Api) -> Answer {
    delete(
        api,
        "/auth/v1/me",
        &json!({"password": PASSWORD, "confirm": true}),
    )
    .await
}

async fn change_password(api: &Api, current: &str, new: &str) -> Answer {
    let body = json!({"current_password": current, "new_password": new});
    api.post("/auth/v1/me/password", &body).await
}

async fn try_to_log_in(service: &TestService, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    service.api.post("/auth/v1/login", &body).await
}

#[tokio::test]
async fn an_owner_chooses_a_time_zone_and_everybody_hears_of_it() {
    for database in DATABASES {
        let service = start(database).await;
        let body = json!({"email": "tim@example.com", "password": PASSWORD, "time_zone": "Europe/Moscow"});
        let tim = service.api.post("/auth/v1/register", &body).await.expect(201);
        assert_eq!(tim["time_zone"], "Europe/Moscow");
        let id: UserId = tim["id"].as_str().unwrap().parse().unwrap();
        let registered = service
            .peers
            .hears::<UserRegisteredV1>(ServiceName::Billing, |event| event.0.user_id == id)
            .await
            .0;
        assert_eq!(registered.time_zone, "Europe/Moscow".parse().ok());

        let (ann, api) = user(&service, "ann@example.com").await;
        let me = api.get("/auth/v1/me").await.expect(200);
        assert_eq!(me.get("time_zone"), None, "the platform's");
        for (body, shown) in [
            (json!({"time_zone": "Asia/Tokyo"}), Some("Asia/Tokyo")),
            (json!({"locale": "ru"}), Some("Asia/Tokyo")),
            (json!({"time_zone": "UTC", "locale": "en"}), Some("UTC")),
            (json!({"time_zone": null}), None),
            (json!({"time_zone": null}), None),
        ] {
            let after = api.patch("/auth/v1/me", &body).await.expect(200);
            assert_eq!(
                after.get("time_zone").and_then(|zone| zone.as_str()),
                shown,
                "{body}"
            );
            assert_eq!(api.get("/auth/v1/me").await.expect(200), after);
        }
        // One change a request, and none where nothing changes.
        let last = service
            .peers
            .hears::<UserUpdatedV1>(ServiceName::Notifications, |event| event.0.version == 5)
            .await
            .0;
        assert_eq!((last.user_id, last.time_zone), (ann, None));
        for zone in [json!("Moscow"), json!("europe/moscow"), json!(""), json!(3)] {
            for (method, path) in [("patch", "/auth/v1/me"), ("post", "/auth/v1/register")] {
                let mut body = json!({"time_zone": zone});
                let answer = if method == "patch" {
                    api.patch(path, &body).await
                } else {
                    body["email"] = json!("zoe@example.com");
                    body["password"] = json!(PASSWORD);
                    service.api.post(path, &body).await
                };
                let problem = answer.expect_problem(422, "invalid_request");
                assert!(problem.to_string().contains("time_zone"), "{problem}");
            }
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn an_owner_changes_the_language_and_everybody_hears_of_it() {
    for database in DATABASES {
        let service = start(database).await;
        let (ann, api) = user(&service, "ann@example.com").await;
        let before = api.patch("/auth/v1/me", &json!({})).await.expect(200);
        assert_eq!(before["locale"], "en");
        let after = api
            .patch("/auth/v1/me", &json!({"locale": "ru"}))
            .await
            .expect(200);
        assert_eq!(after["locale"], "ru");
        assert_eq!(api.get("/auth/v1/me").await.expect(200), after);
        api.patch("/auth/v1/me", &json!({"locale": "ru"}))
            .await
            .expect(200);
        let said = service
            .peers
            .hears::<UserUpdatedV1>(ServiceName::Notifications, |_| true)
            .await
            .0;
        assert_eq!((said.user_id, said.version, said.locale), (ann, 2, Locale::Ru));
        for body in [
            json!({"locale": "de"}),
            json!({"locale": null}),
            json!({"email": "a@b"}),
        ] {
            let problem = api
                .patch("/auth/v1/me", &body)
                .await
                .expect_problem(422, "invalid_request");
            let accepted = problem.to_string().contains("`en` or `ru`");
            assert_eq!(accepted, body.get("locale").is_some(), "{problem}");
        }
        service
            .api
            .patch("/auth/v1/me", &json!({}))
            .await
            .expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    for database in DATABASES {
        let service = start(database).await;
        let (ann, api) = user(&service, "ann@example.com").await;
        let other = service
            .api
            .with_token(log_in(&service.api, "ann@example.com").await);
        change_password(&api, "wrong", "a new password")
            .await
            .expect_problem(403, "wrong_password");
        change_password(&api, PASSWORD, "short")
            .await
            .expect_problem(422, "invalid_request");
        other.get("/auth/v1/me").await.expect(200);
        change_password(&api, PASSWORD, "a new password")
            .await
            .expect(204);
        api.get("/auth/v1/me").await.expect(200);
        other
            .get("/auth/v1/me")
            .await
            .expect_problem(401, "invalid_token");
        try_to_log_in(&service, "ann@example.com", PASSWORD)
            .await
            .expect_problem(401, "invalid_credentials");
        try_to_log_in(&service, "ann@example.com", "a new password")
            .await
            .expect(200);
        service
            .peers
            .hears::<SessionEndedV1>(ServiceName::Billing, |event| event.user_id == ann)
            .await;
        change_password(&service.api, PASSWORD, "a new password")
            .await
            .expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn whoever_has_a_token_only_cannot_guess_the_password() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, api) = user(&service, "ann@example.com").await;
    for _ in 0..5 {
        change_password(&api, "wrong", "a new password")
            .await
            .expect_problem(403, "wrong_password");
        delete(
            &api,
            "/auth/v1/me",
            &json!({"password": "wrong", "confirm": true}),
        )
        .await
        .expect_problem(403, "wrong_password");
    }
    change_password(&api, PASSWORD, "a new password")
        .await
        .expect_problem(429, "too_many_attempts");
    delete_me(&api).await.expect_problem(429, "too_many_attempts");
    api.get("/auth/v1/me").await.expect(200);
}

/// Everything that stands in auth's database, as one text.
async fn all_that_is_kept(service: &TestService) -> String {
    let conn = service.db.reader();
    let backend = conn.get_database_backend();
    let mut all = String::new();
    for (table, columns) in [
        ("users", "id email email_normal password_hash status locale"),
        ("sessions", "user_agent address"),
        ("refresh_tokens", "hash"),
        ("user_roles", "role"),
        ("logins", "user_agent address"),
        ("throttles", "account"),
        ("mail_requests", "user_id"),
        ("outbox", "id"),
        ("audit", "details"),
    ] {
        let query = Statement::from_string(backend, format!("SELECT * FROM {table}"));
        for row in conn.query_all_raw(query).await.unwrap() {
            for column in columns.split(' ') {
                let value = row.try_get::<Option<String>>("", column).map_or_else(
                    |_| format!("{:?}", row.try_get::<uuid::Uuid>("", column)),
                    Option::unwrap_or_default,
                );
                all.push_str(&format!("{table}.{column}={value}\n"));
            }
        }
    }
    all
}

#[tokio::test]
async fn a_deleted_account_leaves_its_id_and_nothing_else() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let (ann, api) = user(&service, "ann@example.com").await;
        try_to_log_in(&service, "ann@example.com", "wrong")
            .await
            .expect_problem(401, "invalid_credentials");
        assert!(all_that_is_kept(&service).await.contains("ann@example.com"));

        for body in [
            json!({"password": PASSWORD}),
            json!({"password": PASSWORD, "confirm": false}),
        ] {
            let problem = delete(&api, "/auth/v1/me", &body)
                .await
                .expect_problem(409, "confirmation_required");
            assert!(problem["detail"].as_str().unwrap().contains("forfeited"));
        }
        api.get("/auth/v1/me").await.expect(200);
        delete_me(&api).await.expect(204);
        api.get("/auth/v1/me").await.expect_problem(401, "invalid_token");
        try_to_log_in(&service, "ann@example.com", PASSWORD)
            .await
            .expect_problem(401, "invalid_credentials");

        let seen = root.get(&format!("/auth/v1/users/{ann}")).await.expect(200);
        assert_eq!((&seen["status"], &seen["roles"]), (&json!("deleted"), &json!([])));
        assert!(seen.get("email").is_none(), "{seen:#}");
        let said = service
            .peers
            .hears::<UserDeletedV1>(ServiceName::Billing, |_| true)
            .await
            .0;
        assert_eq!(
            (said.user_id, said.version, said.status),
            (ann, 2, UserStatus::Deleted)
        );
        service
            .peers
            .hears::<SessionEndedV1>(ServiceName::Billing, |event| event.user_id == ann)
            .await;
        // What the test has just tried with the address is forgotten within a quarter of an hour.
        let kept = all_that_is_kept(&service).await;
        assert!(!kept.contains("ann@example.com"), "{kept}");
        assert_eq!(kept.matches("password_hash=$argon2id").count(), 1, "{kept}");
        assert!(!kept.contains("mail_requests"), "{kept}");
        assert_eq!(
            kept.matches("user_roles").count(),
            1,
            "only the administrator's: {kept}"
        );
        let agents = kept.lines().filter(|line| line.contains("address=127")).count();
        assert_eq!(agents, 2, "the administrator's session and login: {kept}");

        let again = register(&service.api, "ann@example.com").await;
        assert_ne!(id_of(&again), ann, "the address is free");
        for verb in ["block", "unblock"] {
            root.post(&format!("/auth/v1/users/{ann}/{verb}"), &json!({}))
                .await
                .expect_problem(409, "user_deleted");
        }
    }
}

#[tokio::test]
async fn administrators_delete_others_and_it_is_written_down() {
    for database in DATABASES {
        let service = start(database).await;
        let (root, api_of_root) = admin(&service, "root@example.com").await;
        let (ann, api) = user(&service, "ann@example.com").await;
        let path = format!("/auth/v1/users/{ann}");
        let confirmed = json!({"confirm": true});
        delete(&api, &path, &confirmed)
            .await
            .expect_problem(403, "forbidden");
        delete(&service.api, &path, &confirmed)
            .await
            .expect_problem(401, "unauthenticated");
        delete(&api_of_root, &path, &confirmed).await.expect(204);
        delete(&api_of_root, &path, &confirmed)
            .await
            .expect_problem(409, "user_deleted");
        api.get("/auth/v1/me").await.expect_problem(401, "invalid_token");
        delete(&api_of_root, &format!("/auth/v1/users/{root}"), &confirmed)
            .await
            .expect_problem(409, "own_account");
        let entries = api_of_root
            .get(&format!("/auth/v1/audit?subject={ann}"))
            .await
            .expect(200);
        assert_eq!(entries["items"][0]["action"], "user.delete");
        assert_eq!(entries["items"][0]["actor"], json!(root));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_always_remains() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, only) = admin(&service, "one@example.com").await;
        delete_me(&only).await.expect_problem(409, "last_administrator");
        let (_, second) = admin(&service, "two@example.com").await;
        let (first, second) = tokio::join!(delete_me(&only), delete_me(&second));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409], "one of them stays");
    }
}

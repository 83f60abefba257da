//! Registration and one's own account.

use chrono::DateTime;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    contracts::{Locale, ServiceName, UserRegisteredV1, UserStatus},
    testing::TestDatabase,
};

use crate::{DATABASES, PASSWORD, id_of, log_in, register, start};

#[tokio::test]
async fn somebody_registers_logs_in_and_sees_their_account() {
    for database in DATABASES {
        let service = start(database).await;
        let body = json!({"email": "Ann@Example.com", "password": PASSWORD, "locale": "ru"});
        let answer = service.api.post("/auth/v1/register", &body).await;
        assert_eq!(answer.headers["location"], "/auth/v1/me");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let user = answer.expect(201);
        assert_eq!(user["email"], "Ann@Example.com", "as typed");
        assert_eq!(user["status"], "active");
        assert_eq!(user["email_confirmed"], false);
        assert_eq!(user["locale"], "ru");
        assert_eq!(user["roles"], json!(["user"]));
        let registered_at = user["registered_at"].as_str().unwrap();
        assert!(
            DateTime::parse_from_rfc3339(registered_at).is_ok(),
            "{registered_at}"
        );
        assert_eq!(
            user.as_object().unwrap().len(),
            7,
            "no password, no token: {user:#}"
        );

        let token = log_in(&service.api, "ann@example.com").await;
        let me = service.api.with_token(token).get("/auth/v1/me").await.expect(200);
        assert_eq!(me, user);

        let event = service
            .peers
            .hears::<UserRegisteredV1>(ServiceName::Billing, |_| true)
            .await
            .0;
        assert_eq!(event.user_id, id_of(&user));
        assert_eq!(
            (event.version, event.status, event.locale),
            (1, UserStatus::Active, Locale::Ru)
        );
        assert_eq!(json!(event.registered_at), user["registered_at"]);
        service.stop().await;
    }
}

#[tokio::test]
async fn messages_carry_no_personal_data() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    service
        .peers
        .hears::<UserRegisteredV1>(ServiceName::Billing, |_| true)
        .await;
    for envelope in service.peers.envelopes::<UserRegisteredV1>(ServiceName::Billing) {
        let data = serde_json::to_string(&envelope).unwrap();
        assert!(!data.contains("ann") && !data.contains("example"), "{data}");
    }
}

#[tokio::test]
async fn an_address_is_registered_once_whatever_its_case() {
    for database in DATABASES {
        let service = start(database).await;
        register(&service.api, "Ann@Example.com").await;
        for email in [
            "Ann@Example.com",
            "ann@example.com",
            "ANN@EXAMPLE.COM",
            "  ann@example.com ",
        ] {
            let body = json!({"email": email, "password": "another password"});
            service
                .api
                .post("/auth/v1/register", &body)
                .await
                .expect_problem(409, "email_taken");
        }
        log_in(&service.api, "ANN@example.COM").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_register_one_address_at_once_one_does() {
    for database in DATABASES {
        let service = start(database).await;
        let answers = join_all((0..20).map(|n| {
            let api = service.api.clone();
            let email = if n % 2 == 0 {
                "ann@example.com"
            } else {
                "Ann@Example.com"
            };
            async move {
                api.post(
                    "/auth/v1/register",
                    &json!({"email": email, "password": PASSWORD}),
                )
                .await
            }
        }))
        .await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.expect_problem(409, "email_taken");
        }
        let id = id_of(&made[0].body);
        // Somebody who comes later is heard of later: then all about the first is there.
        register(&service.api, "bob@example.com").await;
        service
            .peers
            .hears::<UserRegisteredV1>(ServiceName::Loyalty, |event| event.0.user_id != id)
            .await;
        let of_ann = service.peers.heard::<UserRegisteredV1>(ServiceName::Loyalty);
        assert_eq!(of_ann.iter().filter(|event| event.0.user_id == id).count(), 1);
    }
}

fn wrong_fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    errors
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect()
}

#[tokio::test]
async fn every_wrong_field_of_a_registration_is_named() {
    let service = start(TestDatabase::Sqlite).await;
    let long = "a".repeat(129);
    for (email, password, fields) in [
        ("ann@example.com", "1234567", vec!["password"]),
        ("ann@example.com", "", vec!["password"]),
        ("ann@example.com", long.as_str(), vec!["password"]),
        ("ann", "correct horse", vec!["email"]),
        ("", "correct horse", vec!["email"]),
        ("ann@example.com\u{0}", "correct horse", vec!["email"]),
        ("ann", "short", vec!["email", "password"]),
    ] {
        let body = json!({"email": email, "password": password});
        let problem = service
            .api
            .post("/auth/v1/register", &body)
            .await
            .expect_problem(422, "invalid_request");
        assert_eq!(wrong_fields(&problem), fields, "{problem:#}");
        let text = problem.to_string();
        assert!(
            password.is_empty() || !text.contains(password),
            "the password is not repeated: {text}"
        );
    }
}

#[tokio::test]
async fn passwords_of_all_characters_and_lengths_allowed_work() {
    let service = start(TestDatabase::Sqlite).await;
    let longest = "я".repeat(128);
    for (n, password) in [
        "aaaaaaaa",
        "пароль 77",
        "\u{0}\u{1}\u{2} \t\n\"\\",
        longest.as_str(),
    ]
    .iter()
    .enumerate()
    {
        let body = json!({"email": format!("u{n}@example.com"), "password": password});
        service.api.post("/auth/v1/register", &body).await.expect(201);
        service.api.post("/auth/v1/login", &body).await.expect(200);
    }
}

#[tokio::test]
async fn bodies_that_are_not_what_is_asked_for_are_refused() {
    let service = start(TestDatabase::Sqlite).await;
    for path in ["/auth/v1/register", "/auth/v1/login"] {
        for (body, status, code) in [
            (json!({"email": "ann@example.com"}), 422, "invalid_request"),
            (json!({"password": PASSWORD}), 422, "invalid_request"),
            (
                json!({"email": "ann@example.com", "password": PASSWORD, "roles": ["admin"]}),
                422,
                "invalid_request",
            ),
            (json!({"email": 5, "password": PASSWORD}), 422, "invalid_request"),
            (
                json!({"email": "ann@example.com", "password": null}),
                422,
                "invalid_request",
            ),
            (json!([1, 2]), 422, "invalid_request"),
            (
                json!({"email": "ann@example.com", "password": "a".repeat(300_000)}),
                413,
                "body_too_large",
            ),
        ] {
            service.api.post(path, &body).await.expect_problem(status, code);
        }
        for (body, kind, status, code) in [
            ("{\"email\": ", "application/json", 400, "malformed_json"),
            ("", "application/json", 400, "malformed_json"),
            ("{}", "text/plain", 415, "unsupported_media_type"),
        ] {
            let request = service
                .api
                .request(Method::POST, path)
                .header("content-type", kind)
                .body(body);
            service.api.send(request).await.expect_problem(status, code);
        }
    }
    for locale in [json!("fr"), json!(["ru"]), json!(null)] {
        let body = json!({"email": "ann@example.com", "password": PASSWORD, "locale": locale});
        let answer = service.api.post("/auth/v1/register", &body).await;
        answer.expect_problem(422, "invalid_request");
    }
    service
        .api
        .get("/auth/v1/register")
        .await
        .expect_problem(405, "method_not_allowed");
}

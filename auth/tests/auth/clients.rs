//! Programs that call by themselves.

use std::{collections::BTreeSet, sync::Arc};

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use shared::{
    clock::SystemClock,
    contracts::Permission,
    testing::{Answer, Api, TestDatabase, TestService},
    token::{ServiceTokenError, ServiceTokens},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{DATABASES, PASSWORD, id_of, program, register, start, tokens::claims_of};

const FORM: &str = "application/x-www-form-urlencoded";

async fn ask(api: &Api, body: &str, basic: Option<(&str, &str)>) -> Answer {
    let mut request = api
        .request(Method::POST, "/auth/v1/token")
        .header("content-type", FORM)
        .body(body.to_owned());
    if let Some((id, secret)) = basic {
        request = request.basic_auth(id, Some(secret));
    }
    api.send(request).await
}

async fn new_client(service: &TestService, name: &str, permissions: &[Permission]) -> (String, String) {
    let permissions: BTreeSet<_> = permissions.iter().copied().collect();
    let (client, secret) = auth::create_client(&service.db, name, permissions).await.unwrap();
    (client.id.to_string(), secret.expose_secret().to_owned())
}

#[tokio::test]
async fn a_program_gets_a_token_for_what_it_may_do() {
    for database in DATABASES {
        let service = start(database).await;
        let (id, secret) = new_client(&service, "shop", &[Permission::UsersRead]).await;
        let in_form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        for answer in [
            ask(
                &service.api,
                "grant_type=client_credentials",
                Some((&id, &secret)),
            )
            .await,
            ask(&service.api, &in_form, None).await,
        ] {
            assert_eq!(answer.headers["cache-control"], "no-store");
            let token = answer.expect(200);
            assert_eq!(
                (&token["token_type"], &token["expires_in"], &token["scope"]),
                (&json!("Bearer"), &json!(900), &json!("users.read"))
            );
            assert!(token.get("refresh_token").is_none());
            let token = token["access_token"].as_str().unwrap();
            for claim in ["sub", "sid", "client_id"] {
                assert_eq!(claims_of(token)[claim], json!(id), "{claim}");
            }
            let api = service.api.with_token(token);
            api.get("/auth/v1/users").await.expect(200);
            api.get("/auth/v1/audit").await.expect_problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_as_oauth_has_it() {
    let service = start(TestDatabase::Sqlite).await;
    let (id, secret) = new_client(&service, "shop", &[Permission::UsersRead]).await;
    let good = "grant_type=client_credentials";
    let wrong = "wrong".to_owned();
    let nobody = service.new_user().to_string();
    for (body, basic, status, error) in [
        ("", Some((&id, &secret)), 400, "invalid_request"),
        (
            "grant_type=password",
            Some((&id, &secret)),
            400,
            "unsupported_grant_type",
        ),
        (
            "grant_type=client_credentials&grant_type=password",
            Some((&id, &secret)),
            400,
            "invalid_request",
        ),
        (
            "grant_type=client_credentials&client_secret=a",
            Some((&id, &secret)),
            400,
            "invalid_request",
        ),
        (good, None, 401, "invalid_client"),
        (good, Some((&id, &wrong)), 401, "invalid_client"),
        (good, Some((&nobody, &secret)), 401, "invalid_client"),
        (good, Some((&wrong, &secret)), 401, "invalid_client"),
        (
            &format!("{good}&client_id={id}&client_secret=%00"),
            None,
            401,
            "invalid_client",
        ),
    ] {
        let basic = basic.map(|(id, secret)| (id.as_str(), secret.as_str()));
        let answer = ask(&service.api, body, basic).await;
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
        let problem = answer.expect_problem(status, error);
        assert_eq!(problem["error"], error, "{body}");
    }
    let twice = service
        .api
        .request(Method::POST, "/auth/v1/token")
        .header("content-type", FORM)
        .body(good)
        .basic_auth(&id, Some(&secret))
        .basic_auth(&id, Some(&secret));
    let problem = service.api.send(twice).await;
    assert_eq!(
        problem.expect_problem(400, "invalid_request")["error"],
        "invalid_request"
    );
    service
        .api
        .post("/auth/v1/token", &json!({"grant_type": "client_credentials"}))
        .await
        .expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_form_that_breaks_off_is_told_so() {
    let service = start(TestDatabase::Sqlite).await;
    let address = service.api.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // In chunks, the second of which is none.
    let request = format!(
        "POST /auth/v1/token HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {FORM}\r\n\
         transfer-encoding: chunked\r\n\r\n1\r\ng\r\nnonsense\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The server may hang up at once: what it said before counts.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("\"unreadable_body\""), "{answer}");
}

#[tokio::test]
async fn a_disabled_program_can_do_nothing() {
    for database in DATABASES {
        let service = start(database).await;
        let (id, secret) = new_client(&service, "shop", &[Permission::UsersRead]).await;
        let token = ask(
            &service.api,
            "grant_type=client_credentials",
            Some((&id, &secret)),
        )
        .await
        .expect(200);
        let api = service.api.with_token(token["access_token"].as_str().unwrap());
        api.get("/auth/v1/users").await.expect(200);
        auth::disable_client(&service.db, "shop").await.unwrap();
        assert!(auth::disable_client(&service.db, "shop").await.is_err(), "once");
        let problem = api
            .get("/auth/v1/users")
            .await
            .expect_problem(401, "invalid_token");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("program was disabled"), "{detail}");
        ask(
            &service.api,
            "grant_type=client_credentials",
            Some((&id, &secret)),
        )
        .await
        .expect_problem(401, "invalid_client");
        let again = auth::create_client(&service.db, "shop", BTreeSet::new()).await;
        assert!(again.is_err(), "a name is one client's for good");
        assert_eq!(auth::list_clients(&service.db).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_program_has_no_account_and_no_session_to_end() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, api) = program(&service, "shop", &[Permission::UsersRead]).await;
        let nobody = format!("/auth/v1/me/sessions/{}", service.new_user());
        let passwords = json!({"current_password": PASSWORD, "new_password": PASSWORD});
        for (method, path, body) in [
            (Method::POST, "/auth/v1/logout", None),
            (Method::POST, "/auth/v1/logout-all", None),
            (Method::GET, "/auth/v1/me", None),
            (Method::PATCH, "/auth/v1/me", Some(json!({"locale": "ru"}))),
            (
                Method::DELETE,
                "/auth/v1/me",
                Some(json!({"password": PASSWORD, "confirm": true})),
            ),
            (Method::POST, "/auth/v1/me/password", Some(passwords)),
            (Method::POST, "/auth/v1/me/resend-confirmation", None),
            (Method::GET, "/auth/v1/me/sessions", None),
            (Method::DELETE, &nobody, None),
            (Method::GET, "/auth/v1/me/logins", None),
        ] {
            let mut request = api.request(method, path);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let problem = api.send(request).await.expect_problem(403, "forbidden");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("a program has none"), "{path}: {detail}");
        }
        api.get("/auth/v1/users").await.expect(200);
    }
}

#[tokio::test]
async fn secrets_of_programs_cannot_be_guessed() {
    let service = TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(SystemClock),
        |config| config.auth.max_failed_logins_per_address = 3,
    )
    .await;
    let (id, secret) = new_client(&service, "shop", &[]).await;
    for _ in 0..3 {
        ask(
            &service.api,
            "grant_type=client_credentials",
            Some((&id, "wrong")),
        )
        .await
        .expect_problem(401, "invalid_client");
    }
    ask(
        &service.api,
        "grant_type=client_credentials",
        Some((&id, &secret)),
    )
    .await
    .expect_problem(429, "too_many_attempts");
}

async fn service_with(secret: Option<&str>) -> TestService {
    let secret = secret.map(SecretString::from);
    TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(SystemClock),
        |config| config.notifications.client_secret = secret,
    )
    .await
}

fn tokens_of(service: &TestService, secret: &str) -> ServiceTokens {
    ServiceTokens::new(
        service.api.base(),
        "notifications",
        SecretString::from(secret),
        reqwest::Client::new(),
        Arc::new(SystemClock),
    )
}

#[tokio::test]
async fn notifications_learns_where_to_mail() {
    let service = service_with(Some("a long shared secret")).await;
    let ann = id_of(&register(&service.api, "ann@example.com").await);
    let tokens = tokens_of(&service, "a long shared secret");
    let token = tokens.token().await.unwrap();
    assert_eq!(tokens.token().await.unwrap(), token, "it is remembered");
    let api = service.api.with_token(token.clone());
    let contact = api.get(&format!("/auth/v1/contacts/{ann}")).await.expect(200);
    assert_eq!(contact["email"], "ann@example.com");
    api.get("/auth/v1/users").await.expect_problem(403, "forbidden");
    tokens.forget().await;
    assert_ne!(tokens.token().await.unwrap(), token);

    let refused = tokens_of(&service, "another secret").token().await;
    assert!(matches!(refused, Err(ServiceTokenError::Refused)));
}

#[tokio::test]
async fn without_a_configured_secret_nobody_is_notifications() {
    let service = service_with(None).await;
    for secret in ["", "notifications"] {
        let refused = tokens_of(&service, secret).token().await;
        assert!(matches!(refused, Err(ServiceTokenError::Refused)), "{secret}");
    }
    let taken = auth::create_client(&service.db, "notifications", BTreeSet::new()).await;
    assert!(taken.is_err());
}

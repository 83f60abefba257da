//! Several processes on one database of auth.

use std::sync::Arc;

use futures::future::join_all;
use secrecy::SecretString;
use shared::{
    clock::SystemClock,
    config::Config,
    contracts::{ServiceName, UserRegisteredV1},
    testing::{TestDatabase, TestService, new_postgres_database},
};

use crate::{DATABASES, PASSWORD, admin, log_in, register, start};

async fn replica(configure: impl FnOnce(&mut Config)) -> TestService {
    TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(SystemClock),
        configure,
    )
    .await
}

async fn accept_each_others_tokens(replicas: &[TestService]) {
    register(&replicas[0].api, "ann@example.com").await;
    let jwks = replicas[0].api.get("/auth/v1/jwks.json").await.expect(200);
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    for one in replicas {
        assert_eq!(one.api.get("/auth/v1/jwks.json").await.expect(200), jwks);
        let token = log_in(&one.api, "ann@example.com").await;
        for other in replicas {
            other
                .api
                .with_token(token.clone())
                .get("/auth/v1/me")
                .await
                .expect(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_share_one_signing_key_on_postgres() {
    let url = new_postgres_database().await;
    let replicas = join_all((0..4).map(|_| {
        let url = SecretString::from(url.clone());
        replica(|config| config.auth.database_url = Some(url))
    }))
    .await;
    accept_each_others_tokens(&replicas).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_share_one_signing_key_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let replicas =
        join_all((0..3).map(|_| replica(|config| config.data = folder.path().to_path_buf()))).await;
    accept_each_others_tokens(&replicas).await;
}

#[tokio::test]
async fn tokens_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = || replica(|config| config.data = folder.path().to_path_buf());
    let service = start().await;
    register(&service.api, "ann@example.com").await;
    let token = log_in(&service.api, "ann@example.com").await;
    service.stop().await;
    let service = start().await;
    service.api.with_token(token).get("/auth/v1/me").await.expect(200);
}

#[tokio::test]
async fn an_administrator_is_made_beside_a_running_service() {
    for database in DATABASES {
        let service = start(database).await;
        let (id, api) = admin(&service, "Root@example.com").await;
        assert_eq!(
            api.get("/auth/v1/me").await.expect(200)["roles"],
            serde_json::json!(["admin"])
        );
        api.get("/auth/v1/users").await.expect(200);
        // Nobody handed this to the service's relay: it finds it in the outbox.
        let event = service
            .peers
            .hears::<UserRegisteredV1>(ServiceName::Notifications, |_| true)
            .await;
        assert_eq!((event.0.user_id, event.0.version), (id, 1));
        let log = api.get("/auth/v1/audit?action=admin.create").await.expect(200);
        let log = log["items"].as_array().unwrap();
        assert_eq!(log.len(), 1, "{log:#?}");
        assert_eq!(log[0]["subject"], serde_json::json!(id));
        assert!(log[0].get("actor").is_none(), "the command line did it");
    }
}

#[tokio::test]
async fn an_administrator_needs_a_free_address_and_a_password_like_everybody() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    for (email, password, expected) in [
        ("ANN@example.com", PASSWORD, "EmailTaken"),
        ("root", PASSWORD, "Email(Malformed)"),
        ("root@example.com", "short", "Password(TooShort)"),
        ("root@example.com", "", "Password(TooShort)"),
    ] {
        let error = auth::create_admin(&service.db, email, SecretString::from(password))
            .await
            .unwrap_err();
        assert_eq!(format!("{error:?}"), expected);
        assert!(!error.to_string().contains(email), "{error}");
    }
    let token = log_in(&service.api, "ann@example.com").await;
    let me = service.api.with_token(token).get("/auth/v1/me").await.expect(200);
    assert_eq!(me["roles"], serde_json::json!(["user"]), "nobody was promoted");
}

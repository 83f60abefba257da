//! Logging in.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::future::join_all;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;
use shared::testing::TestDatabase;

use crate::{DATABASES, PASSWORD, id_of, log_in, register, start, start_unthrottled};

#[tokio::test]
async fn a_login_answers_with_a_token_under_oauths_names() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let body = json!({"email": "ann@example.com", "password": PASSWORD});
    let answer = service.api.post("/auth/v1/login", &body).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let token = answer.expect(200);
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["expires_in"], 900);
    assert!(token["refresh_token"].as_str().unwrap().len() >= 43, "256 bits");
    assert_eq!(token.as_object().unwrap().len(), 4);
    assert_eq!(token["access_token"].as_str().unwrap().split('.').count(), 3);
}

#[tokio::test]
async fn nobody_is_told_whether_an_account_exists() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let mut answers = BTreeSet::new();
    for (email, password) in [
        ("ann@example.com", "wrong"),
        ("ann@example.com", ""),
        ("ann@example.com", "Correct Horse"),
        ("bob@example.com", PASSWORD),
        ("bob@example.com", ""),
        ("no address", PASSWORD),
        ("", ""),
        ("ann@example.com\u{0}", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
    ] {
        let body = json!({"email": email, "password": password});
        let answer = service.api.post("/auth/v1/login", &body).await;
        assert!(answer.headers.contains_key("www-authenticate"));
        let mut problem = answer.expect_problem(401, "invalid_credentials");
        problem.as_object_mut().unwrap().remove("request_id");
        answers.insert(problem.to_string());
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[tokio::test]
async fn each_login_is_a_session_of_its_own() {
    for database in DATABASES {
        let service = start(database).await;
        let id = id_of(&register(&service.api, "ann@example.com").await);
        let (one, two) = (
            log_in(&service.api, "ann@example.com").await,
            log_in(&service.api, "ann@example.com").await,
        );
        assert_ne!(one, two);
        let conn = service.db.reader();
        let query = Statement::from_string(conn.get_database_backend(), "SELECT id, user_id FROM sessions");
        let rows = conn.query_all_raw(query).await.unwrap();
        let stored: BTreeSet<uuid::Uuid> = rows.iter().map(|row| row.try_get("", "id").unwrap()).collect();
        assert!(
            rows.iter()
                .all(|row| row.try_get::<uuid::Uuid>("", "user_id").unwrap() == id.0)
        );
        let said = [one, two].map(|token| {
            crate::tokens::claims_of(&token)["sid"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        });
        assert_eq!(stored, BTreeSet::from(said));
    }
}

/// On one thread: a hash computed on it would hold up everything else. The passwords are wrong,
/// so that the flood is nothing but hashes.
#[tokio::test(flavor = "current_thread")]
async fn a_flood_of_logins_does_not_hold_up_other_requests() {
    let service = start_unthrottled(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let body = json!({"email": "ann@example.com", "password": "wrong password"});
    let done = AtomicBool::new(false);
    let flood = async {
        let answers = join_all((0..50).map(|_| service.api.post("/auth/v1/login", &body))).await;
        done.store(true, Ordering::SeqCst);
        answers
    };
    let others = async {
        let mut answered = 0;
        while !done.load(Ordering::SeqCst) {
            service.api.get("/auth/health/live").await.expect(200);
            answered += 1;
        }
        answered
    };
    let (answers, answered) = tokio::join!(flood, others);
    for answer in answers {
        answer.expect_problem(401, "invalid_credentials");
    }
    assert!(
        answered > 50,
        "only {answered} other requests were answered while 50 logins were"
    );
}

#[tokio::test]
async fn too_many_logins_at_once_are_told_to_come_again() {
    let service = start_unthrottled(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let body = json!({"email": "ann@example.com", "password": "wrong password"});
    // More than may wait on any machine that runs this: 65 a thread, of which there are at most four.
    let threads = std::thread::available_parallelism().unwrap().get().min(4);
    let answers = join_all((0..threads * 65 * 3).map(|_| service.api.post("/auth/v1/login", &body))).await;
    let (busy, checked): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 503);
    assert!(!busy.is_empty(), "nobody was turned away");
    assert!(checked.len() >= threads * 65, "those who found room were served");
    for answer in busy {
        assert!(answer.headers.contains_key("retry-after"));
        answer.expect_problem(503, "unavailable");
    }
    for answer in checked {
        answer.expect_problem(401, "invalid_credentials");
    }
    log_in(&service.api, "ann@example.com").await;
}

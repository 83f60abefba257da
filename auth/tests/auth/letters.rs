//! What is done by letter.

use std::sync::Arc;

use chrono::Duration;
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, Statement};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::Permission,
    db::Db,
    ids::{MailRequestId, UserId},
    testing::{Answer, Api, TestDatabase, TestService},
};

use crate::{
    DATABASES, MAILER_SECRET, PASSWORD, admin, held::Held, id_of, log_in, mailer, program, register, start,
    user,
};

/// What auth has said about letters: nobody need listen yet, so it is read in its database.
pub async fn requests(db: &Db, user: UserId, purpose: &str) -> Vec<MailRequestId> {
    let conn = db.reader();
    let text = format!("SELECT id, user_id FROM mail_requests WHERE purpose = '{purpose}' ORDER BY id");
    let query = Statement::from_string(conn.get_database_backend(), text);
    let rows = conn.query_all_raw(query).await.unwrap();
    rows.iter()
        .filter(|row| row.try_get::<uuid::Uuid>("", "user_id").unwrap() == user.0)
        .map(|row| MailRequestId(row.try_get("", "id").unwrap()))
        .collect()
}

pub async fn contents(admin: &Api, id: MailRequestId) -> Answer {
    admin.get(&format!("/auth/v1/mail-requests/{id}")).await
}

/// The secret in the last letter to `user`.
pub async fn secret(service: &TestService, admin: &Api, user: UserId, purpose: &str) -> String {
    let id = *requests(&service.db, user, purpose)
        .await
        .last()
        .expect("a letter");
    let mail = contents(admin, id).await.expect(200);
    mail["token"].as_str().unwrap().to_owned()
}

pub async fn forgot(api: &Api, email: &str) -> Answer {
    api.post("/auth/v1/forgot-password", &json!({"email": email}))
        .await
}

pub async fn reset(api: &Api, token: &str, password: &str) -> Answer {
    let body = json!({"token": token, "new_password": password});
    api.post("/auth/v1/reset-password", &body).await
}

pub async fn confirm(api: &Api, token: &str) -> Answer {
    api.post("/auth/v1/confirm-email", &json!({"token": token})).await
}

#[tokio::test]
async fn a_registration_is_confirmed_by_letter() {
    for database in DATABASES {
        let service = start(database).await;
        let root = mailer(&service).await;
        let (ann, api) = user(&service, "Ann@example.com").await;
        let id = requests(&service.db, ann, "confirm_email").await[0];
        let mail = contents(&root, id).await.expect(200);
        assert_eq!(
            (
                &mail["email"],
                &mail["purpose"],
                &mail["locale"],
                &mail["user_id"]
            ),
            (
                &json!("Ann@example.com"),
                &json!("confirm_email"),
                &json!("en"),
                &json!(ann)
            )
        );
        let token = mail["token"].as_str().unwrap();
        reset(&service.api, token, "a new password")
            .await
            .expect_problem(422, "invalid_mail_token");
        confirm(&service.api, token).await.expect(204);
        assert_eq!(api.get("/auth/v1/me").await.expect(200)["email_confirmed"], true);
        confirm(&service.api, token)
            .await
            .expect_problem(422, "invalid_mail_token");
        contents(&root, id).await.expect_problem(404, "not_found");
        api.post("/auth/v1/me/resend-confirmation", &Value::Null)
            .await
            .expect_problem(409, "email_confirmed");
        let contact = root.get(&format!("/auth/v1/contacts/{ann}")).await.expect(200);
        assert_eq!(
            contact,
            json!({"email": "Ann@example.com", "email_confirmed": true, "locale": "en"})
        );
    }
}

#[tokio::test]
async fn a_forgotten_password_is_chosen_anew_by_letter_once() {
    for database in DATABASES {
        let service = start(database).await;
        let root = mailer(&service).await;
        let (ann, api) = user(&service, "ann@example.com").await;
        forgot(&service.api, "ANN@example.com").await.expect(202);
        forgot(&service.api, "ann@example.com").await.expect(202);
        let ids = requests(&service.db, ann, "reset_password").await;
        assert_eq!(ids.len(), 2);
        let first = contents(&root, ids[0]).await.expect(200);
        let token = secret(&service, &root, ann, "reset_password").await;
        reset(&service.api, &token, "short")
            .await
            .expect_problem(422, "invalid_request");
        api.get("/auth/v1/me").await.expect(200);
        reset(&service.api, &token, "a new password").await.expect(204);
        api.get("/auth/v1/me").await.expect_problem(401, "invalid_token");
        for used in [token.as_str(), first["token"].as_str().unwrap()] {
            reset(&service.api, used, "another password")
                .await
                .expect_problem(422, "invalid_mail_token");
        }
        let log_in = |password: &'static str| {
            let body = json!({"email": "ann@example.com", "password": password});
            let api = service.api.clone();
            async move { api.post("/auth/v1/login", &body).await }
        };
        log_in(PASSWORD).await.expect_problem(401, "invalid_credentials");
        let tokens = log_in("a new password").await.expect(200);
        let api = service.api.with_token(tokens["access_token"].as_str().unwrap());
        assert_eq!(api.get("/auth/v1/me").await.expect(200)["email_confirmed"], true);
    }
}

#[tokio::test]
async fn whoever_has_been_locked_out_by_slips_gets_in_by_letter() {
    let service = start(TestDatabase::Sqlite).await;
    let root = mailer(&service).await;
    let ann = id_of(&register(&service.api, "ann@example.com").await);
    let body = json!({"email": "ann@example.com", "password": "wrong"});
    for _ in 0..10 {
        service
            .api
            .post("/auth/v1/login", &body)
            .await
            .expect_problem(401, "invalid_credentials");
    }
    forgot(&service.api, "ann@example.com").await.expect(202);
    let token = secret(&service, &root, ann, "reset_password").await;
    reset(&service.api, &token, PASSWORD).await.expect(204);
    log_in(&service.api, "ann@example.com").await;
}

#[tokio::test]
async fn nobody_is_told_by_a_forgotten_password_which_accounts_there_are() {
    for database in DATABASES {
        let service = start(database).await;
        let ann = id_of(&register(&service.api, "ann@example.com").await);
        let mut refusals = Vec::new();
        for email in ["ann@example.com", "nobody@example.com", "no address", "", "\u{0}"] {
            for _ in 0..3 {
                let answer = forgot(&service.api, email).await;
                assert_eq!(answer.expect(202), Value::Null, "{email}");
            }
            for typed in [email.to_owned(), format!(" {} ", email.to_uppercase())] {
                let answer = forgot(&service.api, &typed).await;
                assert!(answer.headers.contains_key("retry-after"), "{email}");
                let problem = answer.expect_problem(429, "too_many_attempts");
                refusals.push(problem["title"].clone());
            }
        }
        assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{refusals:?}");
        assert_eq!(
            requests(&service.db, ann, "reset_password").await.len(),
            3,
            "nobody's inbox is filled"
        );
    }
}

/// Whoever asks for letters, be it to one account after the other.
#[tokio::test]
async fn an_address_that_asks_for_many_letters_has_to_wait() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let service =
            TestService::start_with(auth::definition(), database, Arc::new(clock.clone()), |config| {
                config.auth.max_letters_per_address = 4;
            })
            .await;
        let (ann, api) = user(&service, "ann@example.com").await;
        forgot(&service.api, "ann@example.com").await.expect(202);
        for n in 0..2 {
            forgot(&service.api, &format!("nobody{n}@example.com"))
                .await
                .expect(202);
        }
        api.post("/auth/v1/me/resend-confirmation", &Value::Null)
            .await
            .expect(202);
        let answer = api.post("/auth/v1/me/resend-confirmation", &Value::Null).await;
        assert_eq!(answer.headers["retry-after"], "900");
        answer.expect_problem(429, "too_many_attempts");
        for email in ["ann@example.com", "somebody@example.com"] {
            forgot(&service.api, email)
                .await
                .expect_problem(429, "too_many_attempts");
        }
        clock.advance(Duration::minutes(15));
        forgot(&service.api, "ann@example.com").await.expect(202);
        assert_eq!(requests(&service.db, ann, "reset_password").await.len(), 2);
    }
}

#[tokio::test]
async fn a_letter_too_many_to_one_account_counts_for_the_address_all_the_same() {
    for database in DATABASES {
        let service =
            TestService::start_with(auth::definition(), database, Arc::new(SystemClock), |config| {
                config.auth.max_letters_per_address = 6;
            })
            .await;
        register(&service.api, "ann@example.com").await;
        let ask = async |email: &str| forgot(&service.api, email).await;
        for _ in 0..3 {
            ask("ann@example.com").await.expect(202);
        }
        for _ in 0..3 {
            ask("ann@example.com")
                .await
                .expect_problem(429, "too_many_attempts");
        }
        ask("nobody@example.com")
            .await
            .expect_problem(429, "too_many_attempts");
    }
}

/// Who resets a password locks their account and then what was counted on it: whoever asks for a
/// letter must not hold the counts and wait for the account.
#[tokio::test]
async fn who_asks_for_a_letter_waits_for_the_account_before_anything_is_counted() {
    let service = start(TestDatabase::Postgres).await;
    let ann = id_of(&register(&service.api, "ann@example.com").await);
    forgot(&service.api, "ann@example.com").await.expect(202);
    let held = Held::user(&service.db, ann).await;
    let asked = forgot(&service.api, "ann@example.com");
    let reset = async {
        held.somebody_waits().await;
        for text in [
            // Less than after what PostgreSQL would end the other one as a deadlock.
            "SET LOCAL lock_timeout = '200ms'",
            "DELETE FROM throttles WHERE account IS NOT NULL",
        ] {
            held.run(text).await.expect("nobody holds the counts");
        }
        held.release().await;
    };
    let (answer, ()) = tokio::join!(asked, reset);
    answer.expect(202);
}

#[tokio::test]
async fn letters_expire() {
    let clock = ManualClock::at(SystemClock.now());
    let service = TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(clock.clone()),
        |config| {
            config.auth.access_token_seconds = 86_400;
            config.notifications.client_secret = Some(SecretString::from(MAILER_SECRET));
        },
    )
    .await;
    let root = mailer(&service).await;
    let ann = id_of(&register(&service.api, "ann@example.com").await);
    forgot(&service.api, "ann@example.com").await.expect(202);
    let id = requests(&service.db, ann, "reset_password").await[0];
    let token = secret(&service, &root, ann, "reset_password").await;
    clock.advance(Duration::minutes(60));
    contents(&root, id).await.expect_problem(404, "not_found");
    reset(&service.api, &token, "a new password")
        .await
        .expect_problem(422, "invalid_mail_token");
}

#[tokio::test]
async fn secrets_cannot_be_guessed() {
    let service = TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(SystemClock),
        |config| {
            config.auth.max_failed_logins_per_address = 5;
            config.notifications.client_secret = Some(SecretString::from(MAILER_SECRET));
        },
    )
    .await;
    let root = mailer(&service).await;
    let ann = id_of(&register(&service.api, "ann@example.com").await);
    let token = secret(&service, &root, ann, "confirm_email").await;
    let mut forged = token.clone().into_bytes();
    forged[40] = if forged[40] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for wrong in ["", "nonsense", &forged, &"a".repeat(10_000), "\u{0}"] {
        confirm(&service.api, wrong)
            .await
            .expect_problem(422, "invalid_mail_token");
    }
    confirm(&service.api, &token)
        .await
        .expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn a_letter_is_sent_again_but_not_forever() {
    let service = start(TestDatabase::Sqlite).await;
    let (ann, api) = user(&service, "ann@example.com").await;
    for _ in 0..3 {
        api.post("/auth/v1/me/resend-confirmation", &Value::Null)
            .await
            .expect(202);
    }
    let answer = api.post("/auth/v1/me/resend-confirmation", &Value::Null).await;
    assert!(answer.headers.contains_key("retry-after"));
    answer.expect_problem(429, "too_many_attempts");
    assert_eq!(requests(&service.db, ann, "confirm_email").await.len(), 4);
    service
        .api
        .post("/auth/v1/me/resend-confirmation", &Value::Null)
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn only_who_mails_learns_addresses() {
    let service = start(TestDatabase::Sqlite).await;
    let (ann, api) = user(&service, "ann@example.com").await;
    let (_, root) = admin(&service, "root@example.com").await;
    let (_, crm) = program(&service, "crm", &[Permission::ContactsRead]).await;
    let path = format!("/auth/v1/contacts/{ann}");
    api.get(&path).await.expect_problem(403, "forbidden");
    service
        .api
        .get(&path)
        .await
        .expect_problem(401, "unauthenticated");
    for api in [&root, &crm, &mailer(&service).await] {
        api.get(&path).await.expect(200);
        for id in [service.new_user().to_string(), "nonsense".to_owned()] {
            api.get(&format!("/auth/v1/contacts/{id}"))
                .await
                .expect_problem(404, "not_found");
        }
    }
    delete_me(&api).await;
    root.get(&path).await.expect_problem(404, "not_found");
}

/// Whoever read the secrets could choose a new password for any account.
#[tokio::test]
async fn nobody_learns_the_secrets_of_letters_but_the_service_that_mails() {
    for database in DATABASES {
        let service = start(database).await;
        let (ann, api) = user(&service, "ann@example.com").await;
        let (_, root) = admin(&service, "root@example.com").await;
        let all: Vec<_> = Permission::grantable().collect();
        let (_, crm) = program(&service, "crm", &all).await;
        forgot(&service.api, "ann@example.com").await.expect(202);
        let id = requests(&service.db, ann, "reset_password").await[0];
        for api in [&api, &root, &crm] {
            contents(api, id).await.expect_problem(403, "forbidden");
        }
        contents(&service.api, id)
            .await
            .expect_problem(401, "unauthenticated");
        let mailer = mailer(&service).await;
        contents(&mailer, id).await.expect(200);
        for id in [service.new_user().to_string(), "nonsense".to_owned()] {
            mailer
                .get(&format!("/auth/v1/mail-requests/{id}"))
                .await
                .expect_problem(404, "not_found");
        }
        let reserved = std::iter::once(Permission::MailRequestsRead).collect();
        let refused = auth::create_client(&service.db, "thief", reserved).await;
        assert!(matches!(refused, Err(auth::ClientError::Permission(_))));
        delete_me(&api).await;
        contents(&mailer, id).await.expect_problem(404, "not_found");
    }
}

pub async fn delete_me(api: &Api) {
    let request = api.request(Method::DELETE, "/auth/v1/me");
    let request = request.json(&json!({"password": PASSWORD, "confirm": true}));
    api.send(request).await.expect(204);
}

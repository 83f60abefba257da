//! Who guesses has to wait, and nobody else.

use std::sync::Arc;

use chrono::Duration;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    config::Config,
    testing::{Answer, TestDatabase, TestService},
};

use crate::{DATABASES, PASSWORD, held::Held, id_of, log_in, register};

/// Behind a proxy that is believed, so that the test can come from anywhere.
async fn start(database: TestDatabase, configure: impl FnOnce(&mut Config)) -> (TestService, ManualClock) {
    let clock = ManualClock::at(SystemClock.now());
    let service = TestService::start_with(auth::definition(), database, Arc::new(clock.clone()), |config| {
        config.auth.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        configure(config);
    })
    .await;
    (service, clock)
}

async fn try_from(service: &TestService, address: &str, email: &str, password: &str) -> Answer {
    let request = service
        .api
        .request(Method::POST, "/auth/v1/login")
        .header("x-forwarded-for", address)
        .json(&json!({"email": email, "password": password}));
    service.api.send(request).await
}

#[tokio::test]
async fn after_ten_wrong_passwords_an_address_has_to_wait_and_only_that_one() {
    for database in DATABASES {
        let (service, clock) = start(database, |_| {}).await;
        register(&service.api, "ann@example.com").await;
        register(&service.api, "bob@example.com").await;
        let mut answers = Vec::new();
        // Whether there is such an account makes no difference.
        for email in ["ann@example.com", "nobody@example.com", "no address"] {
            for _ in 0..10 {
                try_from(&service, "203.0.113.1", email, "wrong")
                    .await
                    .expect_problem(401, "invalid_credentials");
            }
            let typed = email.to_uppercase();
            let answer = try_from(&service, "203.0.113.1", &typed, PASSWORD).await;
            assert_eq!(answer.headers["retry-after"], "900");
            let mut problem = answer.expect_problem(429, "too_many_attempts");
            problem.as_object_mut().unwrap().remove("request_id");
            answers.push(problem);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
        try_from(&service, "203.0.113.2", "ann@example.com", PASSWORD)
            .await
            .expect(200);
        try_from(&service, "203.0.113.1", "bob@example.com", PASSWORD)
            .await
            .expect(200);
        clock.advance(Duration::seconds(900));
        try_from(&service, "203.0.113.1", "ann@example.com", PASSWORD)
            .await
            .expect(200);
        try_from(&service, "203.0.113.1", "ann@example.com", "wrong")
            .await
            .expect_problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_slip_is_forgiven_by_the_right_password() {
    let (service, _) = start(TestDatabase::Sqlite, |_| {}).await;
    register(&service.api, "ann@example.com").await;
    for _ in 0..3 {
        for _ in 0..9 {
            try_from(&service, "203.0.113.1", "ann@example.com", "wrong")
                .await
                .expect_problem(401, "invalid_credentials");
        }
        try_from(&service, "203.0.113.1", "ann@example.com", PASSWORD)
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_guesses_at_once_no_more_are_answered() {
    for database in DATABASES {
        let (service, _) = start(database, |_| {}).await;
        register(&service.api, "ann@example.com").await;
        for email in ["ann@example.com", "nobody@example.com"] {
            let answers = join_all((0..40).map(|_| try_from(&service, "203.0.113.1", email, "wrong"))).await;
            let answered = answers.iter().filter(|answer| answer.status == 401).count();
            let waiting = answers.iter().filter(|answer| answer.status == 429).count();
            assert_eq!((answered, waiting), (10, 30), "{email}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_password_may_be_used_often_at_once() {
    let (service, _) = start(TestDatabase::Postgres, |_| {}).await;
    register(&service.api, "ann@example.com").await;
    let tries = (0..30).map(|_| try_from(&service, "203.0.113.1", "ann@example.com", PASSWORD));
    for answer in join_all(tries).await {
        answer.expect(200);
    }
}

#[tokio::test]
async fn who_tries_one_account_after_the_other_has_to_wait_too() {
    let (service, _) = start(TestDatabase::Sqlite, |config| {
        config.auth.max_failed_logins_per_address = 12;
    })
    .await;
    register(&service.api, "ann@example.com").await;
    for n in 0..12 {
        let email = format!("user{n}@example.com");
        try_from(&service, "203.0.113.1", &email, "wrong")
            .await
            .expect_problem(401, "invalid_credentials");
    }
    try_from(&service, "203.0.113.1", "ann@example.com", PASSWORD)
        .await
        .expect_problem(429, "too_many_attempts");
    try_from(&service, "203.0.113.9", "ann@example.com", PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn who_tries_which_addresses_have_an_account_has_to_wait() {
    let (service, _) = start(TestDatabase::Sqlite, |config| {
        config.auth.max_registrations_per_address = 4;
    })
    .await;
    let register_again = |email: &'static str| {
        let body = json!({"email": email, "password": PASSWORD});
        let api = service.api.clone();
        async move { api.post("/auth/v1/register", &body).await }
    };
    register_again("ann@example.com").await.expect(201);
    for _ in 0..3 {
        register_again("ann@example.com")
            .await
            .expect_problem(409, "email_taken");
    }
    let answer = register_again("bob@example.com").await;
    assert!(answer.headers.contains_key("retry-after"));
    answer.expect_problem(429, "too_many_attempts");
}

async fn register_from(service: &TestService, address: &str, email: &str) -> Answer {
    let request = service
        .api
        .request(Method::POST, "/auth/v1/register")
        .header("x-forwarded-for", address)
        .json(&json!({"email": email, "password": PASSWORD}));
    service.api.send(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_registers_without_end_and_only_that_one_has_to_wait() {
    for database in DATABASES {
        let (service, clock) = start(database, |config| {
            config.auth.max_registrations_per_address = 5;
        })
        .await;
        let tries = (0..12).map(|n| {
            let service = &service;
            async move { register_from(service, "203.0.113.1", &format!("user{n}@example.com")).await }
        });
        let answers = join_all(tries).await;
        let opened = answers.iter().filter(|answer| answer.status == 201).count();
        let waiting = answers.iter().filter(|answer| answer.status == 429).count();
        assert_eq!((opened, waiting), (5, 7));
        let answer = register_from(&service, "203.0.113.1", "ann@example.com").await;
        assert_eq!(answer.headers["retry-after"], "900");
        answer.expect_problem(429, "too_many_attempts");
        register_from(&service, "203.0.113.2", "ann@example.com")
            .await
            .expect(201);
        clock.advance(Duration::seconds(900));
        register_from(&service, "203.0.113.1", "bob@example.com")
            .await
            .expect(201);
    }
}

/// What an owner is asked their password for, as somebody does who has taken over their session.
async fn show_password(service: &TestService, token: &str, path: &str, password: &str) -> Answer {
    let request = if path.ends_with("password") {
        let body = json!({"current_password": password, "new_password": "another password"});
        service
            .api
            .with_token(token)
            .request(Method::POST, path)
            .json(&body)
    } else {
        // Not confirmed: the right password would be told by that alone.
        let body = json!({"password": password});
        service
            .api
            .with_token(token)
            .request(Method::DELETE, path)
            .json(&body)
    };
    service
        .api
        .send(request.header("x-forwarded-for", "203.0.113.1"))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_guesses_at_ones_own_password_at_once_no_more_are_answered() {
    for database in DATABASES {
        for path in ["/auth/v1/me/password", "/auth/v1/me"] {
            let (service, _) = start(database, |config| config.auth.max_failed_logins = 3).await;
            register(&service.api, "ann@example.com").await;
            let token = &log_in(&service.api, "ann@example.com").await;
            let answers = join_all((0..16).map(|_| show_password(&service, token, path, "wrong"))).await;
            let answered = answers.iter().filter(|answer| answer.status == 403).count();
            let waiting = answers.iter().filter(|answer| answer.status == 429).count();
            assert_eq!((answered, waiting), (3, 13), "{path}");
            show_password(&service, token, path, PASSWORD)
                .await
                .expect_problem(429, "too_many_attempts");
        }
    }
}

/// The guess that is right is checked, and then three others are counted before it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_guess_at_ones_own_password_is_not_told_once_there_were_too_many() {
    for path in ["/auth/v1/me/password", "/auth/v1/me"] {
        let (service, _) = start(TestDatabase::Postgres, |config| config.auth.max_failed_logins = 3).await;
        let ann = id_of(&register(&service.api, "ann@example.com").await);
        let token = &log_in(&service.api, "ann@example.com").await;
        let held = Held::user(&service.db, ann).await;
        let right = show_password(&service, token, path, PASSWORD);
        let others = async {
            held.somebody_waits().await;
            // At once, since whoever waits does not do so for ever.
            let wrong = (0..3).map(|_| show_password(&service, token, path, "wrong"));
            for answer in futures::future::join_all(wrong).await {
                answer.expect_problem(403, "wrong_password");
            }
            held.release().await;
        };
        let (right, ()) = tokio::join!(right, others);
        right.expect_problem(429, "too_many_attempts");
    }
}

#[tokio::test]
async fn an_address_is_believed_from_trusted_proxies_only() {
    let (service, _) = start(TestDatabase::Sqlite, |config| {
        config.auth.trusted_proxies = Vec::new();
    })
    .await;
    register(&service.api, "ann@example.com").await;
    for n in 0..10 {
        try_from(&service, &format!("203.0.113.{n}"), "ann@example.com", "wrong")
            .await
            .expect_problem(401, "invalid_credentials");
    }
    try_from(&service, "203.0.113.99", "ann@example.com", "wrong")
        .await
        .expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn replicas_count_together() {
    let folder = tempfile::tempdir().unwrap();
    let replica = || {
        let folder = folder.path().to_path_buf();
        start(TestDatabase::Sqlite, move |config| config.data = folder)
    };
    let (one, _) = replica().await;
    let (two, _) = replica().await;
    register(&one.api, "ann@example.com").await;
    for n in 0..10 {
        let replica = if n % 2 == 0 { &one } else { &two };
        try_from(replica, "203.0.113.1", "ann@example.com", "wrong")
            .await
            .expect_problem(401, "invalid_credentials");
    }
    for replica in [&one, &two] {
        try_from(replica, "203.0.113.1", "ann@example.com", PASSWORD)
            .await
            .expect_problem(429, "too_many_attempts");
    }
}

#[tokio::test]
async fn an_owner_sees_who_tried() {
    for database in DATABASES {
        let (service, _) = start(database, |_| {}).await;
        register(&service.api, "ann@example.com").await;
        register(&service.api, "bob@example.com").await;
        try_from(&service, "203.0.113.7", "ann@example.com", "wrong")
            .await
            .expect_problem(401, "invalid_credentials");
        let token = log_in(&service.api, "ann@example.com").await;
        log_in(&service.api, "bob@example.com").await;
        let api = service.api.with_token(token);
        let page = api.get("/auth/v1/me/logins").await.expect(200);
        let seen: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|login| {
                (
                    login["outcome"].as_str().unwrap(),
                    login["address"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [("succeeded", "127.0.0.1"), ("wrong_password", "203.0.113.7")],
            "{page:#}"
        );
        service
            .api
            .get("/auth/v1/me/logins")
            .await
            .expect_problem(401, "unauthenticated");
    }
}

/// Each takes some 20 ms of a core, and only so many can wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_address_is_told_to_come_again_and_a_login_from_elsewhere_is_not() {
    let (service, _) = start(TestDatabase::Sqlite, |config| {
        config.auth.max_failed_logins_per_address = u32::MAX;
    })
    .await;
    register(&service.api, "ann@example.com").await;
    let flood = join_all((0..600).map(|number| {
        let (service, email) = (&service, format!("nobody-{number}@example.com"));
        async move { try_from(service, "203.0.113.1", &email, "wrong").await }
    }));
    let logins = async {
        for _ in 0..10 {
            try_from(&service, "203.0.113.2", "ann@example.com", PASSWORD)
                .await
                .expect(200);
        }
    };
    let (flooded, ()) = tokio::join!(flood, logins);
    let (mut refused, mut answered) = (0, 0);
    for answer in flooded {
        if answer.status == 401 {
            answered += 1;
        } else {
            assert!(answer.headers.contains_key("retry-after"));
            answer.expect_problem(503, "unavailable");
            refused += 1;
        }
    }
    assert!(
        refused > 0 && answered > 0,
        "{answered} answered, {refused} refused"
    );
}

//! When a refresh token gets another pair, and when it ends its session.

use std::sync::Arc;

use chrono::Duration;
use futures::future::join_all;
use serde_json::json;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{ServiceName, SessionEndedV1},
    testing::{TestDatabase, TestService},
};

use crate::{
    DATABASES, register,
    sessions::{access, refresh, refresh_as, refresh_token, start_with_clock, tokens},
    start,
    tokens::claims_of,
};

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let good = tokens(&service.api, "ann@example.com").await;
    let long = "a".repeat(100_000);
    for token in [
        "",
        "garbage",
        "\u{0}",
        &long,
        good["access_token"].as_str().unwrap(),
    ] {
        refresh(&service.api, token)
            .await
            .expect_problem(401, "invalid_refresh_token");
    }
    for body in [
        json!({}),
        json!({"refresh_token": null}),
        json!({"refresh_token": "a", "more": 1}),
    ] {
        service
            .api
            .post("/auth/v1/refresh", &body)
            .await
            .expect_problem(422, "invalid_request");
    }
    refresh(&service.api, &refresh_token(&good)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_refresh_at_once_one_gets_tokens_and_nobody_is_logged_out() {
    for database in DATABASES {
        // The clock stands: however slow the machine is, they are at once.
        let (service, _clock) = start_with_clock(database).await;
        register(&service.api, "ann@example.com").await;
        let token = refresh_token(&tokens(&service.api, "ann@example.com").await);
        let answers = join_all((0..50).map(|_| refresh(&service.api, &token))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            assert_eq!(answer.headers["retry-after"], "2");
            answer.expect_problem(409, "refresh_in_flight");
        }
        access(&service, &won[0].body)
            .get("/auth/v1/me")
            .await
            .expect(200);
        refresh(&service.api, &refresh_token(&won[0].body))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_client_whose_answer_was_lost_gets_another() {
    for database in DATABASES {
        let (service, clock) = start_with_clock(database).await;
        register(&service.api, "ann@example.com").await;
        let first = refresh_token(&tokens(&service.api, "ann@example.com").await);
        let lost = refresh(&service.api, &first).await.expect(200);
        clock.advance(Duration::seconds(3));
        let found = refresh(&service.api, &first).await.expect(200);
        access(&service, &found).get("/auth/v1/me").await.expect(200);
        // Once only.
        refresh(&service.api, &first)
            .await
            .expect_problem(409, "refresh_in_flight");
        clock.advance(Duration::seconds(60));
        let found = refresh(&service.api, &refresh_token(&found)).await.expect(200);
        // If what was said to be lost comes all the same, somebody has it: one of the two is a thief.
        refresh(&service.api, &refresh_token(&lost))
            .await
            .expect_problem(401, "invalid_refresh_token");
        refresh(&service.api, &refresh_token(&found))
            .await
            .expect_problem(401, "invalid_refresh_token");
    }
}

/// Its client got what it was replaced by, since that was used: nothing was lost.
#[tokio::test]
async fn a_token_whose_successor_was_used_is_no_lost_answer() {
    for database in DATABASES {
        let (service, clock) = start_with_clock(database).await;
        register(&service.api, "ann@example.com").await;
        let refresh = async |token: &str| {
            clock.advance(Duration::milliseconds(100));
            refresh(&service.api, token).await
        };
        let first = refresh_token(&tokens(&service.api, "ann@example.com").await);
        let second = refresh_token(&refresh(&first).await.expect(200));
        let third = refresh(&second).await.expect(200);
        // Its client made two requests at once; it goes on with the other's answer.
        refresh(&first).await.expect_problem(409, "refresh_in_flight");
        let fourth = refresh(&refresh_token(&third)).await.expect(200);
        access(&service, &fourth).get("/auth/v1/me").await.expect(200);
        clock.advance(Duration::seconds(3));
        refresh(&first).await.expect_problem(401, "invalid_refresh_token");
        refresh(&refresh_token(&fourth))
            .await
            .expect_problem(401, "invalid_refresh_token");
        access(&service, &fourth)
            .get("/auth/v1/me")
            .await
            .expect_problem(401, "invalid_token");
    }
}

/// The same where the answer was lost once, and came the second time.
#[tokio::test]
async fn an_answer_that_was_given_again_and_used_is_not_lost_either() {
    for database in DATABASES {
        let (service, clock) = start_with_clock(database).await;
        register(&service.api, "ann@example.com").await;
        let refresh = async |token: &str, seconds: i64| {
            clock.advance(Duration::seconds(seconds));
            refresh(&service.api, token).await
        };
        let first = refresh_token(&tokens(&service.api, "ann@example.com").await);
        refresh(&first, 1).await.expect(200);
        let found = refresh_token(&refresh(&first, 3).await.expect(200));
        refresh(&first, 1).await.expect_problem(409, "refresh_in_flight");
        refresh(&first, 2).await.expect_problem(409, "refresh_in_flight");
        let next = refresh_token(&refresh(&found, 1).await.expect(200));
        refresh(&first, 1)
            .await
            .expect_problem(401, "invalid_refresh_token");
        refresh(&next, 0)
            .await
            .expect_problem(401, "invalid_refresh_token");
    }
}

#[tokio::test]
async fn a_token_that_comes_again_later_ends_its_session() {
    for database in DATABASES {
        let (service, clock) = start_with_clock(database).await;
        register(&service.api, "ann@example.com").await;
        let other = tokens(&service.api, "ann@example.com").await;
        let first = tokens(&service.api, "ann@example.com").await;
        let second = refresh(&service.api, &refresh_token(&first)).await.expect(200);
        clock.advance(Duration::seconds(11));
        refresh(&service.api, &refresh_token(&first))
            .await
            .expect_problem(401, "invalid_refresh_token");
        for tokens in [&first, &second] {
            access(&service, tokens)
                .get("/auth/v1/me")
                .await
                .expect_problem(401, "invalid_token");
            refresh(&service.api, &refresh_token(tokens))
                .await
                .expect_problem(401, "invalid_refresh_token");
        }
        let sid = claims_of(first["access_token"].as_str().unwrap())["sid"].clone();
        let said = service
            .peers
            .hears::<SessionEndedV1>(ServiceName::Billing, |_| true)
            .await;
        assert_eq!(json!(said.session_id), sid);
        access(&service, &other).get("/auth/v1/me").await.expect(200);
    }
}

#[tokio::test]
async fn a_token_that_another_client_uses_again_ends_its_session_at_once() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let first = tokens(&service.api, "ann@example.com").await;
    let second = refresh(&service.api, &refresh_token(&first)).await.expect(200);
    refresh_as(&service.api, &refresh_token(&first), "thief/1.0")
        .await
        .expect_problem(401, "invalid_refresh_token");
    refresh(&service.api, &refresh_token(&second))
        .await
        .expect_problem(401, "invalid_refresh_token");
    access(&service, &second)
        .get("/auth/v1/me")
        .await
        .expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_refresh_token_is_good_for_as_long_as_configured() {
    let clock = ManualClock::at(SystemClock.now());
    let service = TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(clock.clone()),
        |config| config.auth.refresh_token_seconds = 3_600,
    )
    .await;
    register(&service.api, "ann@example.com").await;
    let first = tokens(&service.api, "ann@example.com").await;
    clock.advance(Duration::seconds(3_599));
    let second = refresh(&service.api, &refresh_token(&first)).await.expect(200);
    clock.advance(Duration::seconds(3_600));
    refresh(&service.api, &refresh_token(&second))
        .await
        .expect_problem(401, "invalid_refresh_token");
}

//! Guessing promocodes is slowed, in dry runs and purchases together, and nothing else is.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    clock::ManualClock,
    config::Config,
    contracts::{Permission, RefusalCode},
    ids::{TariffId, UserId},
    testing::{Answer, TestDatabase, TestService},
};

use crate::{Heard, Loyalty, codes, concurrency::two_copies, noon, roubles, ten_percent_off, with};

const DATABASES: [TestDatabase; 2] = [TestDatabase::Sqlite, TestDatabase::Postgres];

/// Loyalty behind a proxy that is believed, with a clock that the test moves.
async fn start(database: TestDatabase, configure: impl FnOnce(&mut Config)) -> Loyalty {
    let clock = ManualClock::at(noon());
    let service = TestService::start_with(
        loyalty::definition(),
        database,
        Arc::new(clock.clone()),
        |config| {
            config.auth.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            configure(config);
        },
    )
    .await;
    Loyalty::of(service, Some(clock))
}

async fn try_from(loyalty: &Loyalty, address: &str, user: UserId, code: &str, tariff: TariffId) -> Answer {
    let api = loyalty.service.api_of(user);
    let request = api
        .request(Method::POST, "/loyalty/v1/promocodes/validate")
        .header("x-forwarded-for", address)
        .json(&json!({"promocode": code, "tariff_id": tariff}));
    api.send(request).await
}

/// A promocode that is meant for others than the users of these tests.
async fn hidden(loyalty: &Loyalty, code: &str) -> Value {
    let terms = with(ten_percent_off(), &json!({"requires_grant": true}));
    loyalty.campaign(&terms, code, None).await
}

fn without_id(mut problem: Value) -> Value {
    problem.as_object_mut().unwrap().remove("request_id");
    problem
}

#[tokio::test]
async fn after_so_many_unknown_promocodes_a_user_waits_and_no_other_does() {
    for database in DATABASES {
        let loyalty = start(database, |_| {}).await;
        loyalty.campaign(&ten_percent_off(), "RIGHT", None).await;
        hidden(&loyalty, "HIDDEN").await;
        let tariff = loyalty.tariff(roubles(100)).await;
        let (user, other) = (loyalty.service.new_user(), loyalty.service.new_user());
        for number in 0..20 {
            // A promocode that is meant for others counts like one that does not exist.
            let code = if number % 2 == 0 {
                "HIDDEN".to_owned()
            } else {
                format!("NO-{number}")
            };
            let refused = loyalty.validate(user, &code, tariff).await;
            let refused = refused.expect_problem(422, "promocode_refused");
            assert_eq!(codes(&refused), ["unknown_promocode"]);
        }
        let kept = loyalty.standing().await.refusals;
        let mut answers = Vec::new();
        for code in ["HIDDEN", "NO-MORE", "RIGHT", "\u{0}"] {
            let answer = loyalty.validate(user, code, tariff).await;
            assert_eq!(answer.headers["retry-after"], "900", "{code}");
            answers.push(without_id(answer.expect_problem(429, "too_many_attempts")));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
        assert_eq!(
            loyalty.standing().await.refusals,
            kept,
            "nothing is kept of one too many"
        );
        loyalty.validate(other, "RIGHT", tariff).await.expect(200);
        loyalty
            .validate(other, "HIDDEN", tariff)
            .await
            .expect_problem(422, "promocode_refused");

        loyalty.advance(Duration::from_secs(900));
        loyalty.validate(user, "RIGHT", tariff).await.expect(200);
        loyalty.nothing_failed().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_guesses_at_once_no_more_are_answered() {
    for database in DATABASES {
        let loyalty = start(database, |_| {}).await;
        let tariff = loyalty.tariff(roubles(100)).await;
        let user = loyalty.service.new_user();
        let guesses = (0..60).map(|number| {
            let (loyalty, code) = (&loyalty, format!("GUESS-{number}"));
            async move { loyalty.validate(user, &code, tariff).await.status.as_u16() }
        });
        let answers = join_all(guesses).await;
        let count = |status| answers.iter().filter(|answer| **answer == status).count();
        assert_eq!((count(422), count(429)), (20, 40), "{database:?}");
    }
}

#[tokio::test]
async fn an_address_has_a_limit_that_slows_only_users_with_a_guess() {
    let loyalty = start(TestDatabase::Sqlite, |config| {
        config.loyalty.max_unknown_promocodes_per_address = 25;
    })
    .await;
    loyalty.campaign(&ten_percent_off(), "RIGHT", None).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let tried = async |address: &str, user: UserId, code: &str| {
        try_from(&loyalty, address, user, code, tariff)
            .await
            .status
            .as_u16()
    };
    for number in 0..25 {
        let user = loyalty.service.new_user();
        let code = format!("NO-{number}");
        assert_eq!(tried("203.0.113.1", user, &code).await, 422);
    }
    let (guesser, honest) = (loyalty.service.new_user(), loyalty.service.new_user());
    assert_eq!(tried("203.0.113.1", guesser, "NO").await, 429);
    assert_eq!(tried("203.0.113.1", guesser, "RIGHT").await, 429);
    assert_eq!(tried("203.0.113.1", honest, "RIGHT").await, 200);
    assert_eq!(
        tried("203.0.113.2", guesser, "RIGHT").await,
        200,
        "they have guessed once"
    );
    assert_eq!(tried("203.0.113.2", guesser, "NO").await, 422);
}

#[tokio::test]
async fn staff_who_may_read_all_promocodes_may_try_as_many_as_they_like() {
    let loyalty = start(TestDatabase::Sqlite, |_| {}).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let token = loyalty.service.token(user, &[Permission::CampaignsRead]);
    let api = loyalty.service.api.with_token(token);
    for number in 0..30 {
        let body = json!({"promocode": format!("NO-{number}"), "tariff_id": tariff});
        let answer = api.post("/loyalty/v1/promocodes/validate", &body).await;
        answer.expect_problem(422, "promocode_refused");
    }
}

/// How many of the answers are each code, and how many are held.
fn tally(answers: Vec<Heard>) -> (usize, usize, usize) {
    let (mut held, mut unknown, mut throttled) = (0, 0, 0);
    for answer in answers {
        match answer {
            Heard::Held(_) => held += 1,
            refused => match refused.refused().as_slice() {
                [RefusalCode::UnknownPromocode] => unknown += 1,
                [RefusalCode::TooManyAttempts] => throttled += 1,
                other => panic!("{other:?}"),
            },
        }
    }
    (held, unknown, throttled)
}

#[tokio::test]
async fn purchases_and_dry_runs_are_counted_together() {
    for database in DATABASES {
        let loyalty = start(database, |_| {}).await;
        loyalty.campaign(&ten_percent_off(), "RIGHT", Some(5)).await;
        hidden(&loyalty, "HIDDEN").await;
        let tariff = loyalty.tariff(roubles(100)).await;
        let user = loyalty.service.new_user();
        for number in 0..12 {
            let refused = loyalty.validate(user, &format!("NO-{number}"), tariff).await;
            refused.expect_problem(422, "promocode_refused");
        }
        let mut answers = Vec::new();
        for number in 0..12 {
            let code = if number % 2 == 0 { "HIDDEN" } else { "NOBODY" };
            answers.push(loyalty.ask(&loyalty.hold(user, code)).await);
        }
        assert_eq!(tally(answers), (0, 8, 4), "{database:?}");
        let right = loyalty.hold(user, "RIGHT");
        assert_eq!(
            loyalty.ask(&right).await.refused(),
            [RefusalCode::TooManyAttempts]
        );
        assert_eq!(loyalty.used("promocode").await, 0, "no use is taken");
        // The stored answer is said again.
        loyalty.service.peers.say(&right).await;
        loyalty
            .validate(user, "RIGHT", tariff)
            .await
            .expect_problem(429, "too_many_attempts");
        let honest = loyalty.hold_of_anybody("RIGHT");
        loyalty.ask(&honest).await.held();

        loyalty.advance(Duration::from_secs(900));
        loyalty.ask(&loyalty.hold(user, "RIGHT")).await.held();
        loyalty.nothing_failed().await;
    }
}

#[tokio::test]
async fn what_comes_in_one_batch_is_decided_as_if_it_came_one_by_one() {
    for database in DATABASES {
        let loyalty = start(database, |_| {}).await;
        loyalty.campaign(&ten_percent_off(), "RIGHT", Some(50)).await;
        let user = loyalty.service.new_user();
        let code = |number: usize| match number {
            3 | 30 => "RIGHT".to_owned(),
            _ => format!("GUESS-{number}"),
        };
        let mut holds: Vec<_> = (0..40).map(|number| loyalty.hold(user, &code(number))).collect();
        // A purchase that comes twice is one guess.
        holds.insert(1, holds[0].clone());
        holds.push(holds[38].clone());
        let envelopes = loyalty.service.peers.seal_all(&holds);
        loyalty.service.peers.deliver(&envelopes).await;
        let mut answers = Vec::new();
        holds.sort_by_key(|hold| hold.purchase_id);
        holds.dedup_by_key(|hold| hold.purchase_id);
        for hold in &holds {
            answers.push(loyalty.answer(hold.purchase_id).await);
        }
        assert_eq!(tally(answers), (1, 20, 19), "{database:?}");
        assert_eq!(loyalty.used("promocode").await, 1);
        loyalty.nothing_failed().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_answer_no_more_guesses_than_one() {
    let [one, two] = two_copies().await;
    let tariff = one.tariff(roubles(100)).await;
    let user = one.service.new_user();
    let guesses = (0..60).map(|number| {
        let copy = if number % 2 == 0 { &one } else { &two };
        async move {
            // Each signs tokens of its own, for the same user.
            let token = copy.service.token(user, &[]);
            let body = json!({"promocode": format!("GUESS-{number}"), "tariff_id": tariff});
            let api = copy.service.api.with_token(token);
            api.post("/loyalty/v1/promocodes/validate", &body)
                .await
                .status
                .as_u16()
        }
    });
    let answers = join_all(guesses).await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(422), count(429)), (20, 40));
    let holds: Vec<_> = (0..20).map(|_| two.hold(user, "GUESS")).collect();
    for hold in &holds {
        assert_eq!(two.ask(hold).await.refused(), [RefusalCode::TooManyAttempts]);
    }
}

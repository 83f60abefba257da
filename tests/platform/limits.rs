//! What one user can make the platform do by failing, with the limits that it has by default.

use std::collections::BTreeMap;

use serde_json::json;
use shared::config::{BillingConfig, LoyaltyConfig};

use crate::platform::{Platform, User};

/// What other tests switch off, as it is by default.
fn defaults() -> Vec<(&'static str, String)> {
    let (loyalty, billing) = (LoyaltyConfig::default(), BillingConfig::default());
    vec![
        (
            "KOPECK_LOYALTY__MAX_UNKNOWN_PROMOCODES",
            loyalty.max_unknown_promocodes.to_string(),
        ),
        (
            "KOPECK_LOYALTY__MAX_UNKNOWN_PROMOCODES_PER_ADDRESS",
            loyalty.max_unknown_promocodes_per_address.to_string(),
        ),
        (
            "KOPECK_BILLING__MAX_FAILED_PURCHASES",
            billing.max_failed_purchases.to_string(),
        ),
    ]
}

/// How each of so many purchases with unknown promocodes ended: the reason, or the problem's code.
async fn guess(user: &User, tariff: &str, times: usize) -> BTreeMap<String, usize> {
    let mut endings = BTreeMap::new();
    for number in 0..times {
        let answer = user.buy(tariff, Some(&format!("GUESS-{number}"))).await;
        let ending = answer.body["reasons"][0]["code"]
            .as_str()
            .or(answer.body["code"].as_str());
        *endings.entry(ending.unwrap().to_owned()).or_default() += 1;
    }
    endings
}

async fn guesses_and_failures_are_slowed_and_nothing_else(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    platform
        .campaign(json!({
            "name": "Half",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "HALF"},
        }))
        .await;
    let guesser = platform.user("guesser", 100_000).await;
    let validate = async |user: &User, code: &str| {
        let body = json!({"tariff_id": tariff, "promocode": code});
        user.api.post("/loyalty/v1/promocodes/validate", &body).await
    };
    for number in 0..16 {
        let refused = validate(&guesser, &format!("NO-{number}")).await;
        refused.expect_problem(422, "promocode_refused");
    }
    // Both kinds of attempts are counted together.
    let endings = guess(&guesser, &tariff, 8).await;
    assert_eq!(
        (endings["unknown_promocode"], endings["too_many_attempts"]),
        (4, 4),
        "{endings:?}"
    );
    let throttled = validate(&guesser, "HALF").await;
    assert!(throttled.headers.contains_key("retry-after"));
    throttled.expect_problem(429, "too_many_attempts");

    // Whatever they go on with, no more is kept than so many and a few that wait longer and longer.
    let endings = guess(&guesser, &tariff, 40).await;
    let failed = guesser
        .api
        .get("/billing/v1/purchases?status=failed&limit=100")
        .await;
    let failed = failed.expect(200)["items"].as_array().unwrap().len();
    assert!((10..=20).contains(&failed), "{failed} purchases, {endings:?}");
    guesser.letters(failed + 2).await;

    guesser.buy(&tariff, None).await.expect(201);
    let honest = platform.user("honest", 100_000).await;
    validate(&honest, "HALF").await.expect(200);
    let paid = honest.buy(&tariff, Some("HALF")).await;
    assert_eq!(paid.body["status"], "paid", "{paid:?}");
}

/// The story on a platform with the limits of `defaults`: in one process, or with so many replicas of
/// each service.
async fn with_limits(replicas: Option<usize>) {
    let defaults = defaults();
    let variables: Vec<_> = defaults
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let platform = match replicas {
        None => Platform::embedded_with(&variables).await,
        Some(replicas) => Platform::distributed_with(replicas, &variables).await,
    };
    guesses_and_failures_are_slowed_and_nothing_else(&platform).await;
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_process() {
    with_limits(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distributed() {
    with_limits(Some(1)).await;
}

mod full {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_two_replicas_of_each_service() {
        super::with_limits(Some(2)).await;
    }
}

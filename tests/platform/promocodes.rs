//! Every kind of promocode, from the campaign to the letter.

use chrono::Duration;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    testing::eventually,
};

use crate::platform::{Platform, User, rub};

fn codes(problem: &Value) -> Vec<&str> {
    problem["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason["code"].as_str().unwrap())
        .collect()
}

async fn refused(user: &User, tariff: &str, promocode: &str, expected: &[&str]) {
    let problem = user
        .buy(tariff, Some(promocode))
        .await
        .expect_problem(422, "promocode_refused");
    assert_eq!(codes(&problem), expected, "{problem:#}");
    for reason in problem["reasons"].as_array().unwrap() {
        assert!(!reason["detail"].as_str().unwrap().is_empty());
    }
}

async fn each_kind_of_discount_is_charged_right(platform: &Platform) {
    let tariff = platform.tariff("Month", 89_000).await;
    let user = platform.user("anna", 1_000_000).await;
    let mut balance = 1_000_000;
    for (discount, code, charged) in [
        (json!({"type": "percent", "percent": "12.5"}), "PERCENT", 77_875),
        (
            json!({"type": "amount_off", "amount": rub(30_000)}),
            "OFF",
            59_000,
        ),
        (
            json!({"type": "fixed_price", "price": rub(9_900)}),
            "FIXED",
            9_900,
        ),
        (json!({"type": "free"}), "FREE", 0),
        (
            json!({"type": "amount_off", "amount": rub(100_000_000)}),
            "MORE-THAN-ALL",
            0,
        ),
    ] {
        let campaign = platform
            .campaign(json!({"name": code, "discount": discount, "promocode": {"code": code}}))
            .await;
        let typed = format!("  {} ", code.to_lowercase());
        let paid = user.buy(&tariff, Some(&typed)).await;
        let paid = if paid.status.as_u16() == 200 {
            paid.expect(200)
        } else {
            paid.expect(201)
        };
        assert_eq!(paid["charged"], rub(charged), "{paid:#}");
        assert_eq!(paid["discount"], rub(89_000 - charged));
        balance -= charged;
        assert_eq!(user.balance().await, balance);
        eventually("the redemption is confirmed", || async {
            (platform.redemptions(&campaign, "confirmed").await == 1).then_some(())
        })
        .await;
    }
    // Registration, top-up, five purchases.
    let letters = user.letters(7).await;
    let oldest_purchase = letters[4]["body"].as_str().unwrap();
    assert!(
        oldest_purchase.contains("778.75") && oldest_purchase.contains("111.25"),
        "{oldest_purchase}"
    );
}

async fn limits_and_times_refuse_with_their_reasons(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    let percent = json!({"type": "percent", "percent": "50"});
    let now = SystemClock.now();
    for (name, more) in [
        (
            "ONE-TIME",
            json!({"promocode": {"code": "ONE-TIME", "max_uses": 1}}),
        ),
        (
            "THREE-TIMES",
            json!({"promocode": {"code": "THREE-TIMES", "max_uses": 3}}),
        ),
        (
            "ONCE-A-USER",
            json!({"max_per_user": 1, "promocode": {"code": "ONCE-A-USER"}}),
        ),
        (
            "OVER",
            json!({"starts_at": now - Duration::days(2), "ends_at": now - Duration::days(1), "promocode": {"code": "OVER"}}),
        ),
        (
            "LATER",
            json!({"starts_at": now + Duration::days(1), "promocode": {"code": "LATER"}}),
        ),
        (
            "RUNNING",
            json!({"starts_at": now - Duration::days(1), "ends_at": now + Duration::days(1), "promocode": {"code": "RUNNING"}}),
        ),
    ] {
        let mut body = json!({"name": name, "discount": percent});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        platform.campaign(body).await;
    }
    let anna = platform.user("anna", 1_000_000).await;
    let boris = platform.user("boris", 1_000_000).await;

    assert_eq!(
        anna.buy(&tariff, Some("ONE-TIME")).await.body["charged"],
        rub(5_000)
    );
    refused(&boris, &tariff, "ONE-TIME", &["uses_exhausted"]).await;
    for _ in 0..3 {
        assert_eq!(
            boris.buy(&tariff, Some("THREE-TIMES")).await.body["charged"],
            rub(5_000)
        );
    }
    refused(&anna, &tariff, "THREE-TIMES", &["uses_exhausted"]).await;
    assert_eq!(
        anna.buy(&tariff, Some("ONCE-A-USER")).await.body["charged"],
        rub(5_000)
    );
    refused(&anna, &tariff, "ONCE-A-USER", &["user_limit_reached"]).await;
    assert_eq!(
        boris.buy(&tariff, Some("ONCE-A-USER")).await.body["charged"],
        rub(5_000)
    );
    refused(&anna, &tariff, "OVER", &["campaign_ended"]).await;
    refused(&anna, &tariff, "LATER", &["campaign_not_started"]).await;
    assert_eq!(
        anna.buy(&tariff, Some("RUNNING")).await.body["charged"],
        rub(5_000)
    );
    refused(&anna, &tariff, "NOBODY-KNOWS", &["unknown_promocode"]).await;

    // Refusals are kept for administrators, with what was expected and what was found.
    let mut items = Vec::new();
    for user in [&anna, &boris] {
        let path = format!("/loyalty/v1/refusals?user_id={}", user.id);
        let refusals = platform.admin.get(&path).await.expect(200);
        items.extend(refusals["items"].as_array().unwrap().iter().cloned());
    }
    assert_eq!(items.len(), 6, "{items:#?}");
    let exhausted = items
        .iter()
        .flat_map(|refusal| refusal["reasons"].as_array().unwrap())
        .find(|reason| reason["code"] == "uses_exhausted")
        .unwrap();
    assert!(
        exhausted.get("expected").is_some() && exhausted.get("found").is_some(),
        "{exhausted:#}"
    );
    let letters = anna.letters(10).await;
    assert!(
        letters.iter().any(|letter| letter["kind"] == "purchase_failed"),
        "{letters:#?}"
    );
}

async fn a_failed_payment_gives_the_use_to_the_next_buyer(platform: &Platform) {
    let tariff = platform.tariff("Month", 89_000).await;
    let campaign = platform
        .campaign(json!({
            "name": "Premiere",
            "discount": {"type": "fixed_price", "price": rub(9_900)},
            "promocode": {"code": "PREMIERE", "max_uses": 1},
        }))
        .await;
    let poor = platform.user("poor", 5_000).await;
    let problem = poor
        .buy(&tariff, Some("PREMIERE"))
        .await
        .expect_problem(402, "insufficient_funds");
    assert_eq!(
        problem["cost"],
        rub(9_900),
        "the price with the promocode, never the full one"
    );
    assert_eq!(poor.balance().await, 5_000);

    let next = platform.user("next", 10_000).await;
    let paid = eventually("the use is free again", || async {
        let answer = next.buy(&tariff, Some("PREMIERE")).await;
        answer
            .body
            .get("charged")
            .is_some_and(|charged| *charged == rub(9_900))
            .then_some(answer.body)
    })
    .await;
    assert_eq!(paid["status"], "paid");
    assert_eq!(next.balance().await, 100);
    eventually("the redemptions follow", || async {
        let settled = (
            platform.redemptions(&campaign, "confirmed").await,
            platform.redemptions(&campaign, "cancelled").await,
        );
        (settled == (1, 1)).then_some(())
    })
    .await;
    refused(&poor, &tariff, "PREMIERE", &["uses_exhausted"]).await;
}

async fn a_validation_shows_the_price_and_uses_nothing(platform: &Platform) {
    let tariff = platform.tariff("Month", 89_000).await;
    platform
        .campaign(json!({
            "name": "Once",
            "discount": {"type": "percent", "percent": "10"},
            "promocode": {"code": "ONCE", "max_uses": 1},
        }))
        .await;
    let user = platform.user("anna", 100_000).await;
    let body = json!({"promocode": "once", "tariff_id": tariff});
    for _ in 0..3 {
        let price = eventually("loyalty knows the tariff", || async {
            let answer = user.api.post("/loyalty/v1/promocodes/validate", &body).await;
            (answer.status.as_u16() == 200).then_some(answer.body)
        })
        .await;
        assert_eq!(price["final_price"], rub(80_100));
        assert_eq!(price["discount"], rub(8_900));
    }
    assert_eq!(user.buy(&tariff, Some("ONCE")).await.body["charged"], rub(80_100));
    eventually("the use is confirmed", || async {
        let answer = user.api.post("/loyalty/v1/promocodes/validate", &body).await;
        let problem = answer.expect_problem(422, "promocode_refused");
        (codes(&problem) == ["uses_exhausted"]).then_some(())
    })
    .await;
}

crate::on_shared_platforms!(
    each_kind_of_discount_is_charged_right,
    limits_and_times_refuse_with_their_reasons,
    a_failed_payment_gives_the_use_to_the_next_buyer,
    a_validation_shows_the_price_and_uses_nothing,
);

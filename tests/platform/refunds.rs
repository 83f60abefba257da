//! A refund, from the administrator to the letter: the money, the use of the promocode, the
//! subscription, and one letter.

use serde_json::{Value, json};
use shared::testing::eventually;

use crate::{
    on_shared_platforms,
    platform::{Platform, User, rub},
};

const PRICE: i64 = 50_000;

/// The purchase, once a use is free.
async fn paid(user: &User, tariff: &str, code: &str) -> String {
    let bought = eventually("a use is free", || async {
        let answer = user.buy(tariff, Some(code)).await;
        answer.status.is_success().then_some(answer)
    });
    let purchase = bought.await.body;
    purchase["id"].as_str().expect("an id").to_owned()
}

async fn refund(platform: &Platform, purchase: &str) -> Value {
    let path = format!("/billing/v1/purchases/{purchase}/refund");
    let body = json!({"reason": "asked for by telephone"});
    platform.admin.post(&path, &body).await.expect(200)
}

async fn a_refund_gives_back_the_money_and_the_use(platform: &Platform) {
    let tariff = platform.tariff("Month", PRICE).await;
    let campaign = platform
        .campaign(json!({
            "name": "One",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "ONE", "max_uses": 1},
        }))
        .await;
    let (anna, boris) = (
        platform.user("anna", PRICE).await,
        platform.user("boris", PRICE).await,
    );
    let purchase = paid(&anna, &tariff, "ONE").await;
    assert_eq!(anna.balance().await, PRICE / 2);
    boris
        .buy(&tariff, Some("ONE"))
        .await
        .expect_problem(422, "promocode_refused");

    let refunded = refund(platform, &purchase).await;
    assert_eq!(refunded["status"], "refunded", "{refunded:#}");
    assert_eq!(anna.balance().await, PRICE);
    eventually("the use has come back", || async {
        (platform.redemptions(&campaign, "returned").await == 1).then_some(())
    })
    .await;
    paid(&boris, &tariff, "ONE").await;

    // Registration, top-up, purchase, refund.
    let letters = anna.letters(4).await;
    assert_eq!(letters[0]["kind"], "purchase_refunded", "{letters:#?}");
    assert_eq!(letters[0]["data"]["balance"], rub(PRICE));
    let subscriptions = anna
        .api
        .get("/billing/v1/subscriptions?active=true")
        .await
        .expect(200);
    assert_eq!(subscriptions["items"], json!([]), "{subscriptions:#}");
}

async fn a_campaign_may_keep_what_was_used(platform: &Platform) {
    let tariff = platform.tariff("Month", PRICE).await;
    let campaign = platform
        .campaign(json!({
            "name": "Once",
            "discount": {"type": "percent", "percent": "50"},
            "refund_policy": "keep_use",
            "promocode": {"code": "KEPT", "max_uses": 1},
        }))
        .await;
    let anna = platform.user("anna", PRICE).await;
    let purchase = paid(&anna, &tariff, "KEPT").await;
    refund(platform, &purchase).await;
    // The letter is made from the same event that loyalty hears.
    anna.letters(4).await;
    anna.buy(&tariff, Some("KEPT"))
        .await
        .expect_problem(422, "promocode_refused");
    assert_eq!(platform.redemptions(&campaign, "confirmed").await, 1);
    assert_eq!(anna.balance().await, PRICE);
}

async fn only_who_may_refund_does(platform: &Platform) {
    let tariff = platform.tariff("Month", PRICE).await;
    let anna = platform.user("anna", PRICE).await;
    let bought = anna.buy(&tariff, None).await.body;
    let path = format!("/billing/v1/purchases/{}/refund", bought["id"].as_str().unwrap());
    let body = json!({"reason": "I want it back"});
    anna.api.post(&path, &body).await.expect_problem(403, "forbidden");
    assert_eq!(anna.balance().await, 0);
    platform.admin.post(&path, &body).await.expect(200);
    platform
        .admin
        .post(&path, &body)
        .await
        .expect_problem(409, "purchase_not_paid");
    assert_eq!(anna.balance().await, PRICE);
}

on_shared_platforms!(
    a_refund_gives_back_the_money_and_the_use,
    a_campaign_may_keep_what_was_used,
    only_who_may_refund_does,
);

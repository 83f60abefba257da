//! Purchases that loyalty holds no use for, and those whose buyers expect another price.

use serde_json::{Value, json};
use shared::{
    contracts::{FailureReason, HoldPromocodeV1, NotHeldReason, PurchaseFailedV1},
    ids::TariffId,
    testing::{Answer, TestDatabase},
};

use crate::{Billing, Customer, DATABASES, LOYALTY, NOTIFICATIONS, held, money, not_held, rub};

async fn buy_for(customer: &Customer, tariff: TariffId, expected: Value) -> Answer {
    let body = json!({"tariff_id": tariff, "expected_price": expected});
    customer.api.post("/billing/v1/purchases", &body).await
}

#[tokio::test]
async fn loyalty_is_told_what_the_wallet_holds_and_what_the_buyer_expects() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let tariff = billing.tariff(10_000).await;
        let rich = billing.customer_with(7_000).await;
        let (_, hold) = billing.begin(&rich, tariff).await;
        assert_eq!((hold.balance, hold.expected_price), (Some(money(7_000)), None));
        // No wallet was opened yet.
        let new = billing.customer();
        let buyer = new.clone();
        let body = json!({"tariff_id": tariff, "promocode": "SALE", "expected_price": rub(8_500)});
        tokio::spawn(async move { buyer.api.post("/billing/v1/purchases", &body).await });
        let of_new = |hold: &HoldPromocodeV1| hold.user_id == new.id;
        let hold = billing.service.peers.hears(LOYALTY, of_new).await;
        assert_eq!(
            (hold.balance, hold.expected_price),
            (Some(money(0)), Some(money(8_500)))
        );
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_is_not_held_fails_with_the_discounted_price() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(8_499).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let too_little = not_held(&hold, 1_500, NotHeldReason::InsufficientFunds);
        billing.service.peers.say(&too_little).await;
        let problem = answer.await.unwrap().expect_problem(402, "insufficient_funds");
        assert_eq!(
            (&problem["cost"], &problem["balance"]),
            (&rub(8_500), &rub(8_499))
        );
        let failed: PurchaseFailedV1 = billing.service.peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!(
            (failed.reason, failed.cost, failed.balance),
            (FailureReason::InsufficientFunds, money(8_500), money(8_499))
        );

        let (answer, hold) = billing.begin(&customer, tariff).await;
        let other_price = not_held(&hold, 1_500, NotHeldReason::PriceChanged);
        billing.service.peers.say(&other_price).await;
        let problem = answer.await.unwrap().expect_problem(409, "price_changed");
        assert_eq!(problem["price"], rub(8_500));
        // A repeat changes nothing, and neither does a late hold.
        billing.service.peers.say(&other_price).await;
        billing.service.peers.say(&held(&hold, 1_500)).await;
        let shown = customer.purchase(hold.purchase_id).await;
        assert_eq!(
            (&shown["failure_reason"], &shown["discount"]),
            (&json!("price_changed"), &rub(1_500))
        );
        assert_eq!(customer.balance().await, 8_499);
        billing.finish().await;
    }
}

#[tokio::test]
async fn another_price_than_the_expected_one_fails_the_purchase_with_the_current_one() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(50_000).await;
        let tariff = billing.tariff(10_000).await;
        buy_for(&customer, tariff, rub(10_000)).await.expect(201);
        for expected in [9_999, 10_001, 0] {
            let answer = buy_for(&customer, tariff, rub(expected)).await;
            let problem = answer.expect_problem(409, "price_changed");
            assert_eq!(problem["price"], rub(10_000));
            let id = problem["purchase_id"].as_str().unwrap().parse().unwrap();
            let shown = customer.purchase(id).await;
            assert_eq!(
                (
                    &shown["status"],
                    &shown["failure_reason"],
                    &shown["expected_price"]
                ),
                (&json!("failed"), &json!("price_changed"), &rub(expected))
            );
        }
        assert_eq!(customer.balance().await, 40_000);

        // The hold of a loyalty that knows nothing of expected prices is not paid either.
        let buyer = customer.clone();
        let body = json!({"tariff_id": tariff, "promocode": "SALE", "expected_price": rub(9_000)});
        let answer = tokio::spawn(async move { buyer.api.post("/billing/v1/purchases", &body).await });
        let hold: HoldPromocodeV1 = billing.service.peers.hears(LOYALTY, |_| true).await;
        billing.service.peers.say(&held(&hold, 500)).await;
        let problem = answer.await.unwrap().expect_problem(409, "price_changed");
        assert_eq!(problem["price"], rub(9_500));
        let failed = billing
            .service
            .peers
            .hears::<PurchaseFailedV1>(LOYALTY, |failed| failed.purchase_id == hold.purchase_id)
            .await;
        assert!(failed.with_promocode, "so that its use comes back");
        assert_eq!(customer.balance().await, 40_000);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_repeat_under_its_key_finds_the_purchase_that_failed_for_its_price() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(50_000).await;
    let tariff = billing.tariff(10_000).await;
    let body = json!({"tariff_id": tariff, "expected_price": rub(9_000)});
    let once = async || {
        let answer = customer
            .api
            .post_once("/billing/v1/purchases", "first", &body)
            .await;
        answer.expect_problem(409, "price_changed")["purchase_id"].clone()
    };
    let first = once().await;
    assert_eq!(once().await, first);
    // At the current price it is another purchase, under another key.
    let body = json!({"tariff_id": tariff, "expected_price": rub(10_000)});
    let answer = customer
        .api
        .post_once("/billing/v1/purchases", "second", &body)
        .await;
    assert_ne!(answer.expect(201)["id"], first);
    billing.finish().await;
}

#[tokio::test]
async fn an_expected_price_is_money_of_the_platform() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(50_000).await;
    let tariff = billing.tariff(10_000).await;
    for (expected, field) in [
        (
            json!({"amount": 10_000, "currency": "EUR"}),
            "expected_price.currency",
        ),
        (rub(-1), "expected_price.amount"),
    ] {
        let problem = buy_for(&customer, tariff, expected).await;
        let problem = problem.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    assert!(customer.items("purchases").await.is_empty());
    billing.finish().await;
}

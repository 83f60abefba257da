//! Wrong input is refused and explained, and never a fault of ours.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{ids::TariffId, testing::TestDatabase};

use crate::{Billing, DATABASES, rub};

/// Bodies that are no money that an operation may move.
fn no_money() -> Vec<Value> {
    vec![
        rub(0),
        rub(-1),
        rub(i64::MIN),
        rub(i64::MAX),
        rub(1_000_000_000_001),
        json!({"amount": 9_223_372_036_854_775_808_u64, "currency": "RUB"}),
        json!({"amount": 1.5, "currency": "RUB"}),
        json!({"amount": "100", "currency": "RUB"}),
        json!({"amount": null, "currency": "RUB"}),
        json!({"amount": 100, "currency": "EUR"}),
        json!({"amount": 100, "currency": "XYZ"}),
        json!({"amount": 100, "currency": "rub"}),
        json!({"amount": 100}),
        json!({"currency": "RUB"}),
        json!({"amount": 100, "currency": "RUB", "note": "x"}),
        json!([]),
        json!("100 RUB"),
        Value::Null,
    ]
}

#[tokio::test]
async fn what_is_no_money_moves_none() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(1_000).await;
    for path in ["/billing/v1/balance/top-up", "/billing/v1/balance/withdraw"] {
        for body in no_money() {
            let answer = customer.api.post(path, &body).await;
            answer.expect_problem(422, "invalid_request");
        }
        let text = customer
            .api
            .request(Method::POST, path)
            .header("content-type", "application/json");
        customer
            .api
            .send(text.body("{\"amount\": 1,"))
            .await
            .expect_problem(400, "malformed_json");
        let form = customer.api.request(Method::POST, path).body("amount=1");
        customer
            .api
            .send(form)
            .await
            .expect_problem(415, "unsupported_media_type");
    }
    assert_eq!(customer.balance().await, 1_000);
    billing.finish().await;
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let both = json!({"amount": 0, "currency": "EUR"});
    let problem = customer
        .api
        .post("/billing/v1/balance/top-up", &both)
        .await
        .expect_problem(422, "invalid_request");
    let fields = |problem: &Value| {
        let errors = problem["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(&problem), ["currency", "amount"]);
    let body = json!({"name": " ", "price": {"amount": -1, "currency": "EUR"}, "period": "P0D"});
    let problem = billing
        .admin
        .post("/billing/v1/tariffs", &body)
        .await
        .expect_problem(422, "invalid_request");
    assert_eq!(fields(&problem), ["price.currency", "name", "price", "period"]);
    billing.finish().await;
}

#[tokio::test]
async fn what_is_no_tariff_is_not_put_on_sale() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let good = json!({"name": "Basic", "price": rub(100), "period": "P1M"});
    let long = "x".repeat(201);
    for (field, value) in [
        ("name", json!("")),
        ("name", json!(long)),
        ("name", json!("a\u{0}b")),
        ("name", json!("a\nBcc: b")),
        ("name", Value::Null),
        ("price", rub(-1)),
        ("price", rub(i64::MAX)),
        ("price", json!(100)),
        ("price", json!({"amount": 0.5, "currency": "RUB"})),
        ("price", json!({"amount": 1, "currency": "USD"})),
        ("period", json!("1M")),
        ("period", json!("PT1H")),
        ("period", json!("P101Y")),
        ("period", json!(30)),
        ("id", json!("x")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        billing
            .admin
            .post("/billing/v1/tariffs", &body)
            .await
            .expect_problem(422, "invalid_request");
    }
    assert!(billing.customer().items("tariffs").await.is_empty());
    billing.finish().await;
}

#[tokio::test]
async fn what_can_not_be_bought_is_refused() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(1_000).await;
        let tariff = billing.tariff(100).await;
        let buy = async |body: Value| customer.api.post("/billing/v1/purchases", &body).await;
        for body in [
            json!({}),
            json!({"tariff_id": "basic"}),
            json!({"tariff_id": 1}),
            json!({"tariff_id": tariff, "price": 1}),
            json!({"tariff_id": tariff, "promocode": null}),
            json!({"tariff_id": tariff, "promocode": ""}),
            json!({"tariff_id": tariff, "promocode": "  "}),
            json!({"tariff_id": tariff, "promocode": 5}),
            json!({"tariff_id": tariff, "promocode": "a\u{0}b"}),
            json!({"tariff_id": tariff, "promocode": "x".repeat(257)}),
        ] {
            buy(body).await.expect_problem(422, "invalid_request");
        }
        let nothing = json!({"tariff_id": TariffId::new(billing.service.peers.now())});
        buy(nothing).await.expect_problem(404, "not_found");
        assert_eq!(customer.balance().await, 1_000);
        assert!(customer.items("purchases").await.is_empty());
        billing.finish().await;
    }
}

#[tokio::test]
async fn ids_queries_and_tokens_that_are_none_are_refused() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let api = billing.customer().api;
    for path in ["purchases/1", "purchases/%00", "tariffs/basic"] {
        api.get(&format!("/billing/v1/{path}"))
            .await
            .expect_problem(404, "not_found");
    }
    for list in ["tariffs", "transfers", "purchases", "subscriptions"] {
        for query in ["limit=0", "limit=201", "limit=x", "cursor=x"] {
            let answer = api.get(&format!("/billing/v1/{list}?{query}")).await;
            assert_eq!(answer.status, 400, "{list}?{query} {:#}", answer.body);
        }
        billing
            .service
            .api
            .get(&format!("/billing/v1/{list}"))
            .await
            .expect_problem(401, "unauthenticated");
    }
    api.get("/billing/v1/balance?user_id=me")
        .await
        .expect_problem(400, "invalid_query");
    api.get("/billing/v1/tariffs?status=sold")
        .await
        .expect_problem(400, "invalid_query");
    billing
        .service
        .api
        .post("/billing/v1/purchases", &json!({}))
        .await
        .expect_problem(401, "unauthenticated");
    billing.finish().await;
}

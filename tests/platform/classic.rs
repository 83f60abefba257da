//! The classic scenario of an order, a billing and a notification service.

use crate::platform::{Platform, rub};

async fn orders_are_paid_from_the_wallet_and_letters_tell(platform: &Platform) {
    let cheap = platform.tariff("Cheap", 1_000).await;
    let dear = platform.tariff("Dear", 120_000).await;
    let user = platform.user("anna", 0).await;
    assert_eq!(user.balance().await, 0);
    user.letters(1).await;

    assert_eq!(user.top_up(100_000).await.expect(200)["balance"], rub(100_000));
    let letters = user.letters(2).await;
    assert!(
        letters[0]["body"].as_str().unwrap().contains("1,000.00"),
        "{letters:#?}"
    );
    let withdrawn = user
        .api
        .post("/billing/v1/balance/withdraw", &rub(10_000))
        .await
        .expect(200);
    assert_eq!(withdrawn["balance"], rub(90_000));
    assert_eq!(user.balance().await, 90_000);
    user.letters(3).await;

    let tariffs = user.api.get("/billing/v1/tariffs?limit=200").await.expect(200);
    for tariff in [&cheap, &dear] {
        let mut items = tariffs["items"].as_array().unwrap().iter();
        assert!(items.any(|item| item["id"] == **tariff), "{tariffs:#}");
    }

    let paid = user.buy(&cheap, None).await.expect(201);
    assert_eq!(paid["status"], "paid");
    assert_eq!(paid["charged"], rub(1_000));
    assert_eq!(user.balance().await, 89_000);
    let letters = user.letters(4).await;
    let body = letters[0]["body"].as_str().unwrap();
    assert!(body.contains("10.00") && body.contains("890.00"), "{body}");
    let subscriptions = user.api.get("/billing/v1/subscriptions").await.expect(200);
    assert_eq!(subscriptions["items"].as_array().unwrap().len(), 1);
    assert!(
        subscriptions["items"][0]["starts_at"].is_string()
            && subscriptions["items"][0]["ends_at"].is_string()
    );

    let problem = user
        .buy(&dear, None)
        .await
        .expect_problem(402, "insufficient_funds");
    assert_eq!(problem["cost"], rub(120_000));
    assert_eq!(problem["balance"], rub(89_000));
    assert_eq!(user.balance().await, 89_000);
    let letters = user.letters(5).await;
    let body = letters[0]["body"].as_str().unwrap();
    assert!(body.contains("1,200.00") && body.contains("890.00"), "{body}");

    user.api
        .post("/billing/v1/balance/withdraw", &rub(500_000))
        .await
        .expect_problem(402, "insufficient_funds");
    let letters = user.letters(6).await;
    let body = letters[0]["body"].as_str().unwrap();
    assert!(body.contains("5,000.00") && body.contains("890.00"), "{body}");

    user.top_up(10_013).await.expect_problem(402, "payment_declined");
    let letters = user.letters(7).await;
    assert_eq!(letters[0]["kind"], "top_up_failed");
    let body = letters[0]["body"].as_str().unwrap();
    assert!(body.contains("100.13") && body.contains("890.00"), "{body}");
}

async fn a_repeated_request_with_its_key_moves_money_once(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    let user = platform.user("anna", 0).await;
    for _ in 0..3 {
        let answer = user
            .api
            .post_once("/billing/v1/balance/top-up", "top-up-1", &rub(50_000))
            .await;
        assert_eq!(answer.expect(200)["balance"], rub(50_000));
    }
    user.api
        .post_once("/billing/v1/balance/top-up", "top-up-1", &rub(60_000))
        .await
        .expect_problem(422, "idempotency_key_reused");
    let body = serde_json::json!({"tariff_id": tariff});
    let first = user
        .api
        .post_once("/billing/v1/purchases", "buy-1", &body)
        .await
        .expect(201);
    let again = user.api.post_once("/billing/v1/purchases", "buy-1", &body).await;
    assert!(again.status.is_success(), "{again:?}");
    assert_eq!(first["id"], again.body["id"]);
    assert_eq!(user.balance().await, 40_000);
}

crate::on_shared_platforms!(
    orders_are_paid_from_the_wallet_and_letters_tell,
    a_repeated_request_with_its_key_moves_money_once,
);

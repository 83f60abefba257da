//! `Idempotency-Key`: one key, one operation.

use serde_json::json;
use shared::{contracts::HoldPromocodeV1, testing::TestDatabase};

use crate::{Billing, Customer, DATABASES, LOYALTY, held, rub};

impl Customer {
    async fn once(&self, path: &str, key: &str, body: &serde_json::Value) -> shared::testing::Answer {
        self.api
            .post_once(&format!("/billing/v1/{path}"), key, body)
            .await
    }
}

#[tokio::test]
async fn a_repeat_shows_the_operation_and_does_nothing() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        let requests = [
            ("balance/top-up", rub(5_000), 200),
            ("balance/withdraw", rub(3_000), 200),
            ("purchases", json!({"tariff_id": tariff}), 201),
            ("balance/withdraw", rub(900_000), 402),
            ("balance/top-up", rub(13), 402),
        ];
        for (number, (path, body, status)) in requests.iter().enumerate() {
            let key = format!("key-{number}");
            let mut first = customer.once(path, &key, body).await.expect(*status);
            for _ in 0..3 {
                let mut again = customer.once(path, &key, body).await.expect(*status);
                for answer in [&mut first, &mut again] {
                    answer.as_object_mut().unwrap().remove("request_id");
                }
                assert_eq!(again, first);
            }
        }
        assert_eq!(customer.balance().await, 101_000);
        assert_eq!(customer.items("transfers").await.len(), 4);
        assert_eq!(customer.items("purchases").await.len(), 1);
        billing.finish().await;
    }
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        customer
            .once("balance/top-up", "key", &rub(5_000))
            .await
            .expect(200);
        for (path, body) in [
            ("balance/top-up", rub(5_001)),
            ("balance/withdraw", rub(5_000)),
            ("purchases", json!({"tariff_id": tariff})),
        ] {
            customer
                .once(path, "key", &body)
                .await
                .expect_problem(422, "idempotency_key_reused");
        }
        assert_eq!(customer.balance().await, 105_000);
        // The key means something only together with its user.
        let other = billing.customer();
        other.once("balance/top-up", "key", &rub(7)).await.expect(200);
        assert_eq!(other.balance().await, 7);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_repeats_at_once_are_one_operation() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        for (path, body, status) in [
            ("balance/top-up", rub(5_000), 200),
            ("balance/withdraw", rub(3_000), 200),
            ("purchases", json!({"tariff_id": tariff}), 201),
        ] {
            let all = futures::future::join_all((0..20).map(|_| customer.once(path, path, &body))).await;
            let (done, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|answer| answer.status == status);
            assert!(!done.is_empty());
            for answer in others {
                answer.expect_problem(409, "idempotency_key_in_flight");
            }
            assert!(done.iter().all(|answer| answer.body == done[0].body), "{done:#?}");
            customer.once(path, path, &body).await.expect(status);
        }
        assert_eq!(customer.balance().await, 101_000);
        assert_eq!(customer.items("transfers").await.len(), 4);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_repeat_of_a_purchase_that_waits_waits_with_it() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        let buy = |customer: Customer| {
            let body = json!({"tariff_id": tariff, "promocode": "SALE"});
            tokio::spawn(async move { customer.once("purchases", "key", &body).await })
        };
        let first = buy(customer.clone());
        let hold: HoldPromocodeV1 = billing.service.peers.hears(LOYALTY, |_| true).await;
        let again = buy(customer.clone());
        billing.service.peers.say(&held(&hold, 100)).await;
        let (first, again) = (first.await.unwrap().expect(201), again.await.unwrap().expect(201));
        assert_eq!(first, again);
        assert_eq!(billing.service.peers.heard::<HoldPromocodeV1>(LOYALTY).len(), 1);
        assert_eq!(customer.balance().await, 99_100);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    for key in ["", "two words", &"k".repeat(256)] {
        customer
            .once("balance/top-up", key, &rub(100))
            .await
            .expect_problem(400, "invalid_idempotency_key");
    }
    assert_eq!(customer.balance().await, 0);
    billing.finish().await;
}

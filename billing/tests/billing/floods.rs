//! A loop of failures makes neither rows nor letters without end, and slows nothing that succeeds.

use std::sync::Arc;

use chrono::Duration;
use futures::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    config::{BillingConfig, Config, SandboxMode},
    contracts::{
        PromocodeRefusedV1, PurchaseFailedV1, Reason, RefusalCode, TopUpFailedV1, WithdrawalFailedV1,
    },
    ids::TariffId,
    testing::{Answer, TestDatabase},
};

use crate::{Billing, Customer, DATABASES, held};

/// Billing with the limits that it has by default, and a clock that the test moves.
async fn start(database: TestDatabase, configure: impl FnOnce(&mut Config)) -> (Billing, ManualClock) {
    let clock = ManualClock::at(SystemClock.now());
    let billing = Billing::with(database, Arc::new(clock.clone()), |config| {
        let defaults = BillingConfig::default();
        config.billing.max_failed_purchases = defaults.max_failed_purchases;
        config.billing.max_failed_withdrawals = defaults.max_failed_withdrawals;
        config.billing.max_unpaid_top_ups = defaults.max_unpaid_top_ups;
        configure(config);
    })
    .await;
    (billing, clock)
}

fn waits(answer: Answer, seconds: u32) {
    assert_eq!(answer.headers["retry-after"], seconds.to_string());
    answer.expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn purchases_that_fail_for_lack_of_money_are_slowed_and_those_that_succeed_are_not() {
    for database in DATABASES {
        let (billing, clock) = start(database, |_| {}).await;
        let customer = billing.customer_with(500).await;
        let (dear, cheap) = (billing.tariff(1_000).await, billing.tariff(100).await);
        for _ in 0..10 {
            customer.buy(dear).await.expect_problem(402, "insufficient_funds");
        }
        for seconds in [1, 1, 2, 4] {
            waits(customer.buy(dear).await, seconds);
            customer.buy(cheap).await.expect(201);
            clock.advance(Duration::seconds(i64::from(seconds)));
            customer.buy(dear).await.expect_problem(402, "insufficient_funds");
        }
        assert_eq!(billing.said::<PurchaseFailedV1>().await.len(), 14);
        let failed = customer.items("purchases?status=failed&limit=100").await;
        assert_eq!(failed.len(), 14);
        // A purchase that can be paid is not asked what failed before.
        customer.top_up(2_000).await.expect(200);
        customer.buy(dear).await.expect(201);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_no_more_are_recorded() {
    for database in DATABASES {
        let (billing, _clock) = start(database, |_| {}).await;
        let customer = billing.customer_with(500).await;
        let tariff = billing.tariff(1_000).await;
        let count = |answers: &[Answer], status: u16| {
            answers
                .iter()
                .filter(|answer| answer.status.as_u16() == status)
                .count()
        };
        let bought = join_all((0..40).map(|_| customer.buy(tariff))).await;
        assert_eq!(
            (count(&bought, 402), count(&bought, 429)),
            (10, 30),
            "{database:?}"
        );
        let withdrawn = join_all((0..40).map(|_| customer.withdraw(1_000))).await;
        assert_eq!(
            (count(&withdrawn, 402), count(&withdrawn, 429)),
            (10, 30),
            "{database:?}"
        );
        // The sandbox declines what ends on 13.
        let topped_up = join_all((0..40).map(|_| customer.top_up(1_013))).await;
        assert_eq!(
            (count(&topped_up, 402), count(&topped_up, 429)),
            (20, 20),
            "{database:?}"
        );
        assert_eq!(billing.said::<PurchaseFailedV1>().await.len(), 10);
        assert_eq!(billing.said::<WithdrawalFailedV1>().await.len(), 10);
        assert_eq!(billing.said::<TopUpFailedV1>().await.len(), 20);
        customer.withdraw(500).await.expect(200);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_key_is_not_used_up_by_what_has_to_wait_and_a_repeat_is_never_slowed() {
    let (billing, clock) = start(TestDatabase::Sqlite, |_| {}).await;
    let customer = billing.customer_with(500).await;
    let tariff = billing.tariff(1_000).await;
    let buy = async |key: &str| {
        let body = json!({"tariff_id": tariff});
        customer.api.post_once("/billing/v1/purchases", key, &body).await
    };
    for number in 0..10 {
        buy(&number.to_string())
            .await
            .expect_problem(402, "insufficient_funds");
    }
    waits(buy("late").await, 1);
    buy("3").await.expect_problem(402, "insufficient_funds");
    clock.advance(Duration::seconds(1));
    let failed = buy("late").await.expect_problem(402, "insufficient_funds");
    let again = buy("late").await.expect_problem(402, "insufficient_funds");
    assert_eq!(failed["purchase_id"], again["purchase_id"]);
    billing.finish().await;
}

async fn refuse(billing: &Billing, customer: &Customer, tariff: TariffId) {
    let (answer, hold) = billing.begin(customer, tariff).await;
    let reason = Reason {
        code: RefusalCode::UnknownPromocode,
        detail: "There is no such promocode.".to_owned(),
        expected: None,
        found: None,
    };
    let refused = PromocodeRefusedV1 {
        purchase_id: hold.purchase_id,
        user_id: customer.id,
        reasons: vec![reason],
    };
    billing.service.peers.say(&refused).await;
    answer.await.unwrap().expect_problem(422, "promocode_refused");
}

#[tokio::test]
async fn purchases_whose_promocode_is_refused_are_slowed_and_those_without_one_are_not() {
    for database in DATABASES {
        let (billing, clock) = start(database, |_| {}).await;
        let customer = billing.customer_with(5_000).await;
        let tariff = billing.tariff(1_000).await;
        for _ in 0..10 {
            refuse(&billing, &customer, tariff).await;
        }
        waits(customer.buy_with(tariff, "SALE").await, 1);
        customer.buy(tariff).await.expect(201);
        assert_eq!(billing.said::<PurchaseFailedV1>().await.len(), 10);
        clock.advance(Duration::seconds(1));
        let (answer, hold) = billing.begin(&customer, tariff).await;
        billing.service.peers.say(&held(&hold, 100)).await;
        answer.await.unwrap().expect(201);
        billing.finish().await;
    }
}

#[tokio::test]
async fn purchases_with_a_promocode_are_slowed_while_the_wallet_holds_too_little() {
    for database in DATABASES {
        let (billing, _clock) = start(database, |_| {}).await;
        let customer = billing.customer_with(500).await;
        let tariff = billing.tariff(1_000).await;
        for _ in 0..10 {
            let (answer, hold) = billing.begin(&customer, tariff).await;
            billing.service.peers.say(&held(&hold, 100)).await;
            answer.await.unwrap().expect_problem(402, "insufficient_funds");
        }
        waits(customer.buy_with(tariff, "SALE").await, 1);
        let other = billing.customer_with(5_000).await;
        let (answer, hold) = billing.begin(&other, tariff).await;
        billing.service.peers.say(&held(&hold, 100)).await;
        answer.await.unwrap().expect(201);
        customer.top_up(500).await.expect(200);
        let (answer, hold) = billing.begin(&customer, tariff).await;
        billing.service.peers.say(&held(&hold, 100)).await;
        answer.await.unwrap().expect(201);
        billing.finish().await;
    }
}

#[tokio::test]
async fn approved_top_ups_are_not_counted_and_undecided_ones_are() {
    for database in DATABASES {
        let (billing, clock) = start(database, |_| {}).await;
        let customer = billing.customer();
        for _ in 0..50 {
            customer.top_up(100).await.expect(200);
        }
        assert_eq!(customer.balance().await, 5_000);
        for _ in 0..20 {
            customer
                .top_up(1_013)
                .await
                .expect_problem(402, "payment_declined");
        }
        waits(customer.top_up(100).await, 1);
        clock.advance(Duration::seconds(1));
        customer.top_up(100).await.expect(200);
        billing.finish().await;
    }
    let (billing, _clock) = start(TestDatabase::Sqlite, |config| {
        config.billing.sandbox_mode = SandboxMode::Asynchronous;
        config.billing.sandbox_webhook_secret = Some(SecretString::from("a secret of some length"));
    })
    .await;
    let customer = billing.customer();
    for _ in 0..20 {
        customer.top_up(100).await.expect(202);
    }
    waits(customer.top_up(100).await, 1);
    billing.finish().await;
}

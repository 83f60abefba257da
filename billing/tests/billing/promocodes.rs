//! Purchases that wait for loyalty.

use serde_json::json;
use shared::{
    contracts::{
        FailureReason, HoldPromocodeV1, PromocodeRefusedV1, PurchaseFailedV1, PurchasePaidV1, Reason,
        RefusalCode,
    },
    ids::PurchaseId,
    testing::TestDatabase,
};

use crate::{Billing, DATABASES, LOYALTY, NOTIFICATIONS, held, money, rub};

fn exhausted() -> Reason {
    Reason {
        code: RefusalCode::UsesExhausted,
        detail: "All 10 uses are taken.".to_owned(),
        expected: Some(json!({"max_redemptions": 10})),
        found: Some(json!({"redemptions": 10})),
    }
}

#[tokio::test]
async fn a_held_promocode_is_paid_with_the_discount() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(100_000).await;
        billing.register(&customer).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        assert_eq!(
            (hold.tariff_id, hold.tariff_version, hold.price),
            (tariff, 1, money(10_000))
        );
        assert_eq!(hold.promocode, "SALE");
        assert!(hold.user_registered_at.is_some());
        assert_eq!((hold.deadline - hold.requested_at).num_seconds(), 30);

        billing.service.peers.say(&held(&hold, 1_500)).await;
        let bought = answer.await.unwrap().expect(201);
        assert_eq!(bought["id"], json!(hold.purchase_id));
        assert_eq!(
            (&bought["list_price"], &bought["discount"]),
            (&rub(10_000), &rub(1_500))
        );
        assert_eq!(
            (&bought["charged"], &bought["balance_after"]),
            (&rub(8_500), &rub(91_500))
        );
        assert_eq!(customer.balance().await, 91_500);
        for service in [LOYALTY, NOTIFICATIONS] {
            let paid: PurchasePaidV1 = billing.service.peers.hears(service, |_| true).await;
            assert!(paid.with_promocode);
            assert_eq!(
                (paid.discount, paid.charged, paid.version),
                (money(1_500), money(8_500), 2)
            );
        }
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_refused_promocode_fails_the_purchase_and_says_why() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        assert!(hold.user_registered_at.is_none(), "billing has not heard of them");
        let reasons = vec![exhausted()];
        let refused = PromocodeRefusedV1 {
            purchase_id: hold.purchase_id,
            user_id: customer.id,
            reasons,
        };
        billing.service.peers.say(&refused).await;
        let problem = answer.await.unwrap().expect_problem(422, "promocode_refused");
        assert_eq!(problem["reasons"], json!([exhausted()]));
        assert_eq!(problem["purchase_id"], json!(hold.purchase_id));
        assert_eq!(
            customer.balance().await,
            100_000,
            "full price is never charged silently"
        );
        let failed: PurchaseFailedV1 = billing.service.peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!(
            (failed.reason, failed.refusal_reasons),
            (FailureReason::PromocodeRefused, vec![exhausted()])
        );
        let shown = customer.purchase(hold.purchase_id).await;
        assert_eq!(
            (&shown["status"], &shown["failure_reason"]),
            (&json!("failed"), &json!("promocode_refused"))
        );
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_promocode_that_takes_everything_off_needs_no_money() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        billing.service.peers.say(&held(&hold, 10_000)).await;
        let bought = answer.await.unwrap().expect(201);
        assert_eq!((&bought["charged"], &bought["balance_after"]), (&rub(0), &rub(0)));
        assert!(customer.items("transfers").await.is_empty());
        billing.finish().await;
    }
}

#[tokio::test]
async fn too_little_money_for_a_held_promocode_is_said_so_that_its_use_comes_back() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(8_499).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        billing.service.peers.say(&held(&hold, 1_500)).await;
        let problem = answer.await.unwrap().expect_problem(402, "insufficient_funds");
        assert_eq!(
            (&problem["cost"], &problem["balance"]),
            (&rub(8_500), &rub(8_499))
        );
        let failed: PurchaseFailedV1 = billing.service.peers.hears(LOYALTY, |_| true).await;
        assert!(failed.with_promocode);
        assert_eq!((failed.purchase_id, failed.version), (hold.purchase_id, 2));
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_takes_longer_is_shown_as_pending_and_ends_later() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(10_000).await;
    let tariff = billing.tariff(1_000).await;
    let (answer, hold) = billing.begin(&customer, tariff).await;
    let answer = answer.await.unwrap();
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("/billing/v1/purchases/{}", hold.purchase_id));
    let body = answer.expect(202);
    assert_eq!(body["status"], "pending");
    assert!(
        body.get("charged").is_none() && body.get("discount").is_none(),
        "{body:#}"
    );
    billing.service.peers.say(&held(&hold, 100)).await;
    let shown = customer.api.get(&location).await.expect(200);
    assert_eq!((&shown["status"], &shown["charged"]), (&json!("paid"), &rub(900)));
    billing.finish().await;
}

#[tokio::test]
async fn a_pending_purchase_can_be_cancelled_and_a_paid_one_not() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let cancel = format!("/billing/v1/purchases/{}/cancel", hold.purchase_id);
        for _ in 0..2 {
            let body = customer.api.post(&cancel, &json!({})).await.expect(200);
            assert_eq!(body["failure_reason"], "cancelled");
        }
        answer.await.unwrap().expect_problem(409, "purchase_cancelled");
        billing.service.peers.say(&held(&hold, 100)).await;
        assert_eq!(customer.balance().await, 10_000, "a late hold charges nothing");
        let failed = billing.service.peers.heard::<PurchaseFailedV1>(LOYALTY);
        assert_eq!(failed.len(), 1, "cancelled once");

        let bought = customer.buy(tariff).await.expect(201);
        let cancel = format!("/billing/v1/purchases/{}/cancel", bought["id"].as_str().unwrap());
        customer
            .api
            .post(&cancel, &json!({}))
            .await
            .expect_problem(409, "purchase_not_pending");
        let nobodys = format!(
            "/billing/v1/purchases/{}/cancel",
            PurchaseId::new(billing.service.peers.now())
        );
        customer
            .api
            .post(&nobodys, &json!({}))
            .await
            .expect_problem(404, "not_found");
        assert_eq!(customer.balance().await, 9_000);
        billing.finish().await;
    }
}

#[tokio::test]
async fn space_around_a_promocode_makes_no_difference() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(10_000).await;
    let tariff = billing.tariff(1_000).await;
    for typed in [" SALE\n", "\tSALE ", &format!("SALE{}", " ".repeat(300))] {
        let buyer = customer.clone();
        let typed = typed.to_owned();
        let answer = tokio::spawn(async move { buyer.buy_with(tariff, &typed).await });
        let peers = &billing.service.peers;
        let is_new = |hold: &HoldPromocodeV1| {
            let paid = peers.heard::<PurchasePaidV1>(LOYALTY);
            paid.iter().all(|paid| paid.purchase_id != hold.purchase_id)
        };
        let hold = peers.hears(LOYALTY, is_new).await;
        assert_eq!(hold.promocode, "SALE");
        peers.say(&held(&hold, 0)).await;
        assert_eq!(answer.await.unwrap().expect(201)["promocode"], "SALE");
        peers
            .hears::<PurchasePaidV1>(LOYALTY, |paid| paid.purchase_id == hold.purchase_id)
            .await;
    }
    billing.finish().await;
}

//! Every purchase ends.

use sea_orm::ConnectionTrait as _;
use serde_json::json;
use shared::contracts::{FailureReason, PromocodeRefusedV1, PurchaseFailedV1, PurchasePaidV1};

use crate::{Billing, DATABASES, LOYALTY, held};

#[tokio::test]
async fn without_an_answer_the_deadline_fails_a_purchase_and_a_late_hold_changes_nothing() {
    for database in DATABASES {
        let billing =
            Billing::configured(database, |config| config.billing.purchase_deadline_seconds = 1).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        answer.await.unwrap().expect_problem(422, "purchase_timed_out");
        let failed: PurchaseFailedV1 = peers.hears(LOYALTY, |_| true).await;
        assert_eq!(
            (failed.reason, failed.with_promocode),
            (FailureReason::TimedOut, true)
        );
        let shown = customer.purchase(hold.purchase_id).await;

        peers.say(&held(&hold, 100)).await;
        let (purchase_id, user_id) = (hold.purchase_id, customer.id);
        peers
            .say(&PromocodeRefusedV1 {
                purchase_id,
                user_id,
                reasons: Vec::new(),
            })
            .await;
        assert_eq!(customer.purchase(hold.purchase_id).await, shown);
        assert_eq!(customer.balance().await, 10_000);
        assert_eq!(peers.heard::<PurchaseFailedV1>(LOYALTY).len(), 1);
        assert!(peers.heard::<PurchasePaidV1>(LOYALTY).is_empty());
        billing.finish().await;
    }
}

#[tokio::test]
async fn many_overdue_purchases_each_fail_once() {
    for database in DATABASES {
        let billing =
            Billing::configured(database, |config| config.billing.purchase_deadline_seconds = 1).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let buys = (0..120).map(|_| customer.buy_with(tariff, "SALE"));
        for answer in futures::future::join_all(buys).await {
            assert!([422, 202].contains(&answer.status.as_u16()), "{:#}", answer.body);
        }
        let peers = &billing.service.peers;
        shared::testing::eventually("all have failed", || async {
            (peers.heard::<PurchaseFailedV1>(LOYALTY).len() >= 120).then_some(())
        })
        .await;
        let mut failed: Vec<_> = peers
            .heard::<PurchaseFailedV1>(LOYALTY)
            .iter()
            .map(|failed| failed.purchase_id)
            .collect();
        failed.sort_unstable();
        failed.dedup();
        assert_eq!(failed.len(), 120, "each once");
        let items = customer.items("purchases?limit=200").await;
        assert!(
            items
                .iter()
                .all(|item| item["failure_reason"] == json!("timed_out")),
            "{items:#?}"
        );
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_can_not_be_ended_keeps_no_other_from_its_end() {
    for database in DATABASES {
        let billing =
            Billing::configured(database, |config| config.billing.purchase_deadline_seconds = 1).await;
        let (customer, other) = (billing.customer(), billing.customer());
        let tariff = billing.tariff(1_000).await;
        let (_broken, _) = billing.begin(&customer, tariff).await;
        let by_hand = "UPDATE purchases SET period = 'nonsense'";
        billing
            .service
            .db
            .writer()
            .execute_unprepared(by_hand)
            .await
            .unwrap();
        let (answer, _) = billing.begin(&other, tariff).await;
        answer.await.unwrap().expect_problem(422, "purchase_timed_out");
        billing.finish().await;
    }
}

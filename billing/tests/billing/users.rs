//! A blocked user can do nothing, as soon as billing has heard of it.

use serde_json::json;
use shared::{
    contracts::{
        FailureReason, PurchaseFailedV1, PurchasePaidV1, UserBlockedV1, UserDeletedV1, UserStatus,
        UserUnblockedV1, UserUpdatedV1,
    },
    ids::MessageId,
};

use crate::{Billing, DATABASES, LOYALTY, held, rub};

#[tokio::test]
async fn a_blocked_user_is_refused_at_once_and_an_older_status_changes_nothing() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        billing.register(&customer).await;
        peers
            .say(&UserBlockedV1(billing.user_state(
                customer.id,
                3,
                UserStatus::Blocked,
            )))
            .await;
        peers
            .say(&UserUpdatedV1(billing.user_state(
                customer.id,
                2,
                UserStatus::Active,
            )))
            .await;
        billing.register(&customer).await;
        customer.buy(tariff).await.expect_problem(403, "user_blocked");
        customer
            .buy_with(tariff, "SALE")
            .await
            .expect_problem(403, "user_blocked");
        customer.top_up(100).await.expect_problem(403, "user_blocked");
        customer.withdraw(100).await.expect_problem(403, "user_blocked");
        customer
            .api
            .get("/billing/v1/balance")
            .await
            .expect_problem(403, "user_blocked");

        peers
            .say(&UserUnblockedV1(billing.user_state(
                customer.id,
                4,
                UserStatus::Active,
            )))
            .await;
        peers
            .say(&UserBlockedV1(billing.user_state(
                customer.id,
                3,
                UserStatus::Blocked,
            )))
            .await;
        customer.buy(tariff).await.expect(201);
        assert_eq!(customer.balance().await, 9_000);
        peers
            .say(&UserDeletedV1(billing.user_state(
                customer.id,
                5,
                UserStatus::Deleted,
            )))
            .await;
        customer.buy(tariff).await.expect_problem(401, "invalid_token");
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_user_who_is_blocked_while_a_purchase_waits_is_not_charged() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(10_000).await;
        billing.register(&customer).await;
        let tariff = billing.tariff(1_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        // In one batch, the hold first: the block still counts.
        let blocked = UserBlockedV1(billing.user_state(customer.id, 2, UserStatus::Blocked));
        let batch = [
            peers.seal_all(&[held(&hold, 100)]),
            vec![peers.seal(MessageId::new(peers.now()), &blocked)],
        ]
        .concat();
        peers.deliver(&batch).await;
        let failed: PurchaseFailedV1 = peers.hears(LOYALTY, |_| true).await;
        assert_eq!(
            (failed.reason, failed.with_promocode),
            (FailureReason::UserBlocked, true)
        );
        let problem = answer.await.unwrap().expect_problem(403, "user_blocked");
        assert_eq!(problem["purchase_id"], json!(hold.purchase_id));
        assert!(peers.heard::<PurchasePaidV1>(LOYALTY).is_empty());
        let path = format!("/billing/v1/balance?user_id={}", customer.id);
        assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(10_000));
        billing.finish().await;
    }
}

#[tokio::test]
async fn who_registers_has_an_empty_wallet() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        billing.register(&customer).await;
        billing.register(&customer).await;
        assert_eq!(customer.balance().await, 0);
        let path = format!("/billing/v1/balance?user_id={}", customer.id);
        assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(0));
        billing.finish().await;
    }
}

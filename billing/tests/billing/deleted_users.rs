//! What deleted users leave.

use std::sync::Arc;

use billing::{
    app::{
        books::Books,
        finish_top_ups::finish_top_ups,
        top_up_wallet::{TopUpState, TopUpWallet, top_up_wallet},
    },
    domain::wallet::OperationAmount,
    providers::PaymentProvider as _,
};
use chrono::Duration;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{FailureReason, PurchaseFailedV1, UserDeletedV1, UserStatus, WalletCreditedV1},
    ids::UserId,
    money::Amount,
    testing::TestDatabase,
};

use crate::{Billing, Customer, DATABASES, LOYALTY, held, rub, top_ups::Scripted};

fn deleted(billing: &Billing, user: UserId, version: i64) -> UserDeletedV1 {
    UserDeletedV1(billing.user_state(user, version, UserStatus::Deleted))
}

async fn transfers(billing: &Billing, customer: &Customer) -> Vec<(Value, Value)> {
    let path = format!("/billing/v1/transfers?user_id={}", customer.id);
    let page = billing.admin.get(&path).await.expect(200);
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["cause"].clone(), item["amount"].clone()))
        .collect()
}

#[tokio::test]
async fn what_is_left_goes_to_the_platform_once_however_often_it_is_told() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let (rich, poor) = (billing.customer_with(5_000).await, billing.customer());
        let stranger = billing.service.new_user();
        billing.register(&rich).await;
        billing.register(&poor).await;
        // In one batch, twice, with one who has nothing, and one whom nobody knows.
        let batch = [
            deleted(&billing, rich.id, 2),
            deleted(&billing, poor.id, 2),
            deleted(&billing, rich.id, 2),
            deleted(&billing, stranger, 2),
        ];
        peers.deliver(&peers.seal_all(&batch)).await;
        peers.say(&deleted(&billing, rich.id, 2)).await;
        assert_eq!(
            transfers(&billing, &rich).await,
            [("forfeiture".into(), rub(-5_000)), ("top_up".into(), rub(5_000))]
        );
        assert!(transfers(&billing, &poor).await.is_empty());
        let path = format!("/billing/v1/balance?user_id={}", rich.id);
        assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(0));
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_waits_fails_when_its_buyer_is_deleted() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(5_000).await;
        billing.register(&customer).await;
        let tariff = billing.tariff(1_000).await;
        let (_answer, hold) = billing.begin(&customer, tariff).await;
        peers.say(&deleted(&billing, customer.id, 2)).await;
        peers.say(&held(&hold, 100)).await;
        let failed: PurchaseFailedV1 = peers.hears(LOYALTY, |_| true).await;
        assert_eq!(failed.reason, FailureReason::UserBlocked);
        assert_eq!(failed.balance.amount, Amount(0));
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_top_up_that_comes_late_goes_the_same_way() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let billing = Billing::with(database, Arc::new(clock.clone()), |_| {}).await;
        let provider = Scripted::named("acme");
        let db = &billing.service.db;
        let names = [provider.name().clone()];
        let books = Books::open(db.writer(), iso_currency::Currency::RUB, names, clock.now())
            .await
            .unwrap();
        let customer = billing.customer();
        billing.register(&customer).await;
        let input = TopUpWallet {
            user_id: customer.id,
            amount: OperationAmount::parse(Amount(crate::top_ups::DECIDES_THE_SECOND_TIME)).unwrap(),
            keyed: None,
        };
        let begun = top_up_wallet(db, &books, Some(&*provider), &input).await.unwrap();
        assert_eq!(begun.state, TopUpState::Pending);
        let peers = &billing.service.peers;
        peers.say(&deleted(&billing, customer.id, 2)).await;
        clock.advance(Duration::minutes(1));
        finish_top_ups(db, &books, &*provider).await.unwrap();
        let amount = crate::top_ups::DECIDES_THE_SECOND_TIME;
        assert_eq!(
            transfers(&billing, &customer).await,
            [
                ("forfeiture".into(), rub(-amount)),
                ("top_up".into(), rub(amount))
            ]
        );
        let path = format!("/billing/v1/top-ups/{}", begun.id);
        let shown = billing.admin.get(&path).await.expect(200);
        assert_eq!(
            (&shown["status"], &shown["balance_after"]),
            (&json!("approved"), &rub(0))
        );
        assert!(billing.said::<WalletCreditedV1>().await.is_empty());
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_among_movements_leaves_nothing_behind() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let peers = &billing.service.peers;
    let tariff = billing.tariff(100).await;
    for _ in 0..5 {
        let customer = billing.customer_with(10_000).await;
        billing.register(&customer).await;
        let event = deleted(&billing, customer.id, 2);
        // Whatever is let in before the deletion is done before it, or goes where all else goes.
        tokio::join!(
            async {
                for _ in 0..4 {
                    customer.top_up(500).await;
                    customer.withdraw(100).await;
                    customer.buy(tariff).await;
                }
            },
            peers.say(&event),
        );
        let path = format!("/billing/v1/balance?user_id={}", customer.id);
        assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(0));
    }
    billing.finish().await;
}

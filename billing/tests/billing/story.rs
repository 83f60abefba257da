//! The classic story, and each of its steps going wrong.

use sea_orm::ConnectionTrait as _;
use shared::{
    contracts::{
        FailureReason, PurchaseFailedV1, PurchasePaidV1, TopUpFailedV1, WalletCreditedV1, WalletDebitedV1,
        WithdrawalFailedV1,
    },
    testing::{TestDatabase, eventually},
};

use crate::{Billing, DATABASES, NOTIFICATIONS, money, rub};

#[tokio::test]
async fn money_comes_in_goes_out_and_buys_a_tariff_as_long_as_there_is_enough() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let (cheap, dear) = (billing.tariff(1_000).await, billing.tariff(120_000).await);
        let customer = billing.customer();
        assert_eq!(customer.balance().await, 0);

        let body = customer.top_up(100_000).await.expect(200);
        assert_eq!(body["balance"], rub(100_000));
        let body = customer.withdraw(10_000).await.expect(200);
        assert_eq!(body["balance"], rub(90_000));
        assert_eq!(customer.balance().await, 90_000);

        let bought = customer.buy(cheap).await.expect(201);
        assert_eq!(bought["status"], "paid");
        assert_eq!(bought["charged"], rub(1_000));
        assert_eq!(bought["balance_after"], rub(89_000));
        assert!(bought["subscription"]["ends_at"].is_string(), "{bought:#}");
        assert_eq!(customer.balance().await, 89_000);

        let problem = customer.buy(dear).await.expect_problem(402, "insufficient_funds");
        assert_eq!(problem["cost"], rub(120_000));
        assert_eq!(problem["balance"], rub(89_000));
        assert_eq!(customer.balance().await, 89_000);

        let credited: WalletCreditedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!(
            (credited.amount, credited.balance_after),
            (money(100_000), money(100_000))
        );
        let debited: WalletDebitedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!(
            (debited.amount, debited.balance_after),
            (money(10_000), money(90_000))
        );
        let paid: PurchasePaidV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!((paid.charged, paid.balance_after), (money(1_000), money(89_000)));
        assert!(!paid.with_promocode);
        let failed: PurchaseFailedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!((failed.cost, failed.balance), (money(120_000), money(89_000)));
        assert_eq!(failed.reason, FailureReason::InsufficientFunds);
        assert_eq!(problem["purchase_id"], serde_json::json!(failed.purchase_id));
        billing.finish().await;
    }
}

#[tokio::test]
async fn the_wallet_and_its_history_show_every_movement() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(100_000).await;
    customer.withdraw(10_000).await.expect(200);
    let tariff = billing.tariff(1_000).await;
    let bought = customer.buy(tariff).await.expect(201);

    let transfers = customer.items("transfers").await;
    let shown: Vec<_> = transfers
        .iter()
        .map(|transfer| (transfer["cause"].clone(), transfer["amount"].clone()))
        .collect();
    let expected = [("purchase", -1_000), ("withdrawal", -10_000), ("top_up", 100_000)];
    assert_eq!(shown, expected.map(|(cause, amount)| (cause.into(), rub(amount))));
    assert_eq!(transfers[0]["cause_id"], bought["id"]);
    assert_eq!(transfers[0]["balance_after"], rub(89_000));

    let first = customer
        .api
        .get("/billing/v1/transfers?limit=2")
        .await
        .expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = customer
        .api
        .get(&format!("/billing/v1/transfers?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(second["items"][0], transfers[2]);
    assert!(second.get("next_cursor").is_none());
    billing.finish().await;
}

#[tokio::test]
async fn a_withdrawal_of_more_than_there_is_fails_and_is_told() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(5_000).await;
        let problem = customer
            .withdraw(5_001)
            .await
            .expect_problem(402, "insufficient_funds");
        assert_eq!(
            (&problem["cost"], &problem["balance"]),
            (&rub(5_001), &rub(5_000))
        );
        let failed: WithdrawalFailedV1 = billing.service.peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!((failed.amount, failed.balance), (money(5_001), money(5_000)));
        assert_eq!(problem["withdrawal_id"], serde_json::json!(failed.withdrawal_id));
        customer.withdraw(5_000).await.expect(200);
        assert_eq!(customer.balance().await, 0);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_declined_top_up_moves_nothing_and_is_told() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let problem = customer
        .top_up(10_013)
        .await
        .expect_problem(402, "payment_declined");
    assert!(
        problem["title"].as_str().unwrap().contains("declined"),
        "{problem:#}"
    );
    let path = format!("/billing/v1/top-ups/{}", problem["top_up_id"].as_str().unwrap());
    let shown = customer.api.get(&path).await.expect(200);
    assert_eq!(
        (&shown["status"], &shown["amount"]),
        (&"declined".into(), &rub(10_013))
    );
    assert_eq!(customer.balance().await, 0);
    assert!(customer.items("transfers").await.is_empty());
    let failed: TopUpFailedV1 = billing.service.peers.hears(NOTIFICATIONS, |_| true).await;
    assert_eq!(serde_json::json!(failed.top_up_id), problem["top_up_id"]);
    assert_eq!((failed.amount, failed.balance), (money(10_013), money(0)));
    assert_eq!(serde_json::json!(failed.reason), shown["decline_reason"]);
    billing.finish().await;
}

#[tokio::test]
async fn a_top_up_that_a_crash_left_undecided_is_carried_on_with() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        // As a process leaves it that dies between its two transactions.
        let sql = "INSERT INTO top_ups (id, user_id, provider, amount, state, requested_at, asks, next_ask_at) \
                   SELECT user_id, user_id, provider, 500, 'pending', requested_at, 1, requested_at FROM top_ups";
        billing.service.db.writer().execute_unprepared(sql).await.unwrap();
        eventually("it is credited", || async {
            (customer.balance().await == 10_500).then_some(())
        })
        .await;
        billing.finish().await;
    }
}

#[tokio::test]
async fn without_a_payment_provider_no_money_comes_in() {
    let billing = Billing::configured(TestDatabase::Sqlite, |config| {
        config.billing.sandbox = Some(false)
    })
    .await;
    let customer = billing.customer();
    customer
        .top_up(10_000)
        .await
        .expect_problem(503, "no_payment_provider");
    assert_eq!(customer.balance().await, 0);
    billing.finish().await;
}

#[tokio::test]
async fn a_tariff_for_nothing_is_bought_without_a_transfer() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        let tariff = billing.tariff(0).await;
        let bought = customer.buy(tariff).await.expect(201);
        assert_eq!((&bought["status"], &bought["charged"]), (&"paid".into(), &rub(0)));
        assert!(customer.items("transfers").await.is_empty());
        assert_eq!(customer.items("subscriptions").await.len(), 1);
        billing.finish().await;
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let (owner, stranger) = (billing.customer_with(5_000).await, billing.customer());
    let tariff = billing.tariff(1_000).await;
    let bought = owner.buy(tariff).await.expect(201);
    let path = format!("/billing/v1/purchases/{}", bought["id"].as_str().unwrap());
    stranger.api.get(&path).await.expect_problem(404, "not_found");
    stranger
        .api
        .post(&format!("{path}/cancel"), &serde_json::json!({}))
        .await
        .expect_problem(404, "not_found");
    for list in ["balance", "transfers", "purchases", "subscriptions"] {
        let path = format!("/billing/v1/{list}?user_id={}", owner.id);
        stranger.api.get(&path).await.expect_problem(403, "forbidden");
        billing.admin.get(&path).await.expect(200);
    }
    let seen = billing.admin.get(&path).await.expect(200);
    assert_eq!(seen, bought);
    let balance = billing
        .admin
        .get(&format!("/billing/v1/balance?user_id={}", owner.id))
        .await
        .expect(200);
    assert_eq!(balance["balance"], rub(4_000));
    billing.finish().await;
}

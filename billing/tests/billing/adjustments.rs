//! What administrators put into wallets and take out.

use serde_json::{Value, json};
use shared::{
    contracts::{Permission, UserBlockedV1, UserDeletedV1, UserStatus, WalletCreditedV1, WalletDebitedV1},
    testing::{Answer, Api, TestDatabase},
};

use crate::{Billing, Customer, DATABASES, NOTIFICATIONS, money, rub};

fn body(amount: i64) -> Value {
    json!({"amount": amount, "currency": "RUB", "reason": "paid twice"})
}

async fn adjust(api: &Api, customer: &Customer, way: &str, amount: i64) -> Answer {
    api.post(&path(customer, way), &body(amount)).await
}

fn path(customer: &Customer, way: &str) -> String {
    format!("/billing/v1/users/{}/{way}", customer.id)
}

async fn registered(billing: &Billing) -> Customer {
    let customer = billing.customer();
    billing.register(&customer).await;
    customer
}

#[tokio::test]
async fn money_is_put_in_and_taken_out_told_and_written_down() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = registered(&billing).await;
        let credited = adjust(&billing.admin, &customer, "credit", 5_000)
            .await
            .expect(200);
        assert_eq!(credited["balance"], rub(5_000));
        let debited = adjust(&billing.admin, &customer, "debit", 2_000)
            .await
            .expect(200);
        assert_eq!(debited["balance"], rub(3_000));
        assert_eq!(customer.balance().await, 3_000);
        let transfers = customer.items("transfers").await;
        let shown: Vec<_> = transfers
            .iter()
            .map(|transfer| (transfer["cause"].clone(), transfer["amount"].clone()))
            .collect();
        assert_eq!(
            shown,
            [("debit".into(), rub(-2_000)), ("credit".into(), rub(5_000))]
        );
        for transfer in &transfers {
            assert_eq!(transfer["reason"], "paid twice");
        }
        customer.top_up(100).await.expect(200);
        let moved_alone = &customer.items("transfers").await[0];
        assert!(moved_alone.get("reason").is_none(), "absent is not null");
        let peers = &billing.service.peers;
        let told: WalletCreditedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        assert!(told.by_administrator);
        assert_eq!(told.reason.as_deref(), Some("paid twice"));
        assert_eq!((told.amount, told.balance_after), (money(5_000), money(5_000)));
        let told: WalletDebitedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        assert!(told.by_administrator);
        assert_eq!(told.reason.as_deref(), Some("paid twice"));
        assert_eq!((told.amount, told.balance_after), (money(2_000), money(3_000)));
        let told = billing.said::<WalletCreditedV1>().await;
        assert_eq!((told.len(), told[1].reason.as_deref()), (2, None));
        let log = billing
            .admin
            .get(&format!("/billing/v1/audit?subject={}", customer.id))
            .await
            .expect(200);
        let actions: Vec<_> = [0, 1]
            .map(|place: usize| log["items"][place]["action"].clone())
            .into();
        assert_eq!(actions, ["wallet.debit", "wallet.credit"]);
        assert_eq!(log["items"][0]["details"]["reason"], "paid twice");
        assert_eq!(log["items"][0]["details"]["amount"], rub(2_000));
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_wallet_is_never_debited_below_zero_whoever_else_does_so() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = registered(&billing).await;
        adjust(&billing.admin, &customer, "credit", 1_000)
            .await
            .expect(200);
        let problem = adjust(&billing.admin, &customer, "debit", 1_001).await;
        let problem = problem.expect_problem(402, "insufficient_funds");
        assert_eq!(
            (&problem["cost"], &problem["balance"]),
            (&rub(1_001), &rub(1_000))
        );
        let tries = (0..8).map(|_| adjust(&billing.admin, &customer, "debit", 300));
        let answers = futures::future::join_all(tries).await;
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| answer.status == 402).count();
        assert_eq!((done, refused), (3, 5));
        assert_eq!(customer.balance().await, 100);
        billing.finish().await;
    }
}

#[tokio::test]
async fn an_adjustment_under_a_key_is_made_once_and_a_refused_one_leaves_its_key_free() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = registered(&billing).await;
        let (credit, debit) = (path(&customer, "credit"), path(&customer, "debit"));
        let admin = &billing.admin;
        admin
            .post_once(&debit, "out", &body(500))
            .await
            .expect_problem(402, "insufficient_funds");
        let first = admin.post_once(&credit, "in", &body(1_000)).await.expect(200);
        admin.post_once(&debit, "out", &body(500)).await.expect(200);
        let again = admin.post_once(&credit, "in", &body(1_000)).await.expect(200);
        assert_eq!(first, again, "as it was then");
        admin.post_once(&debit, "out", &body(500)).await.expect(200);
        assert_eq!(customer.balance().await, 500);
        admin
            .post_once(&credit, "in", &body(1_001))
            .await
            .expect_problem(422, "idempotency_key_reused");
        admin
            .post_once(&debit, "in", &body(1_000))
            .await
            .expect_problem(422, "idempotency_key_reused");
        billing.finish().await;
    }
}

#[tokio::test]
async fn only_who_may_adjusts_the_wallets_of_users_there_are() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let peers = &billing.service.peers;
    let customer = registered(&billing).await;
    let all_but: Vec<_> = Permission::ALL
        .iter()
        .copied()
        .filter(|permission| *permission != Permission::WalletsAdjust)
        .collect();
    let token = billing.service.token(billing.service.new_user(), &all_but);
    let other = billing.admin.with_token(token);
    for way in ["credit", "debit"] {
        for api in [&customer.api, &other] {
            adjust(api, &customer, way, 1)
                .await
                .expect_problem(403, "forbidden");
        }
        let nobody = billing.customer();
        adjust(&billing.admin, &nobody, way, 1)
            .await
            .expect_problem(404, "not_found");
        for wrong in [
            json!({"amount": 0, "currency": "RUB", "reason": "x"}),
            json!({"amount": -1, "currency": "RUB", "reason": "x"}),
            json!({"amount": 1_000_000_000_001_i64, "currency": "RUB", "reason": "x"}),
            json!({"amount": 1, "currency": "EUR", "reason": "x"}),
            json!({"amount": 1, "currency": "XYZ", "reason": "x"}),
            json!({"amount": 1, "currency": "RUB", "reason": " "}),
            json!({"amount": 1, "currency": "RUB", "reason": "a\u{0}"}),
            json!({"amount": 1, "currency": "RUB"}),
            json!({"amount": 1.5, "currency": "RUB", "reason": "x"}),
            json!({"amount": 1, "currency": "RUB", "reason": "x", "more": 1}),
        ] {
            billing
                .admin
                .post(&path(&customer, way), &wrong)
                .await
                .expect_problem(422, "invalid_request");
        }
    }
    let blocked = billing.user_state(customer.id, 2, UserStatus::Blocked);
    peers.say(&UserBlockedV1(blocked)).await;
    adjust(&billing.admin, &customer, "credit", 700).await.expect(200);
    let deleted = billing.user_state(customer.id, 3, UserStatus::Deleted);
    peers.say(&UserDeletedV1(deleted)).await;
    for way in ["credit", "debit"] {
        adjust(&billing.admin, &customer, way, 1)
            .await
            .expect_problem(409, "user_deleted");
    }
    billing.finish().await;
}

//! Paid purchases that are given back.

use serde_json::{Value, json};
use shared::{
    contracts::{
        Permission, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1, ReportPurchaseV1, UserDeletedV1,
        UserStatus,
    },
    ids::{PurchaseId, UserId},
    testing::{Answer, TestDatabase},
};

use crate::{Billing, Customer, DATABASES, held, id_of, rub};

/// The refund as it was said, under whatever name it is looked for.
async fn said(billing: &Billing, id: PurchaseId) -> Vec<PurchaseRefundedV1> {
    let outbox = billing.said::<PurchaseRefundedV1>().await;
    outbox.into_iter().filter(|said| said.purchase_id == id).collect()
}

async fn refund(billing: &Billing, purchase: &Value) -> Answer {
    let path = format!(
        "/billing/v1/purchases/{}/refund",
        purchase["id"].as_str().unwrap()
    );
    billing.admin.post(&path, &json!({"reason": "a mistake"})).await
}

async fn bought(customer: &Customer, tariff: shared::ids::TariffId) -> Value {
    customer.buy(tariff).await.expect(201)
}

#[tokio::test]
async fn a_refund_returns_the_money_ends_the_subscription_and_is_told_and_written_down() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let purchase = bought(&customer, tariff).await;
        let refunded = refund(&billing, &purchase).await.expect(200);
        assert_eq!(
            (&refunded["status"], &refunded["version"]),
            (&json!("refunded"), &json!(3))
        );
        assert_eq!(refunded["charged"], rub(1_000));
        assert_eq!(refunded["balance_after"], rub(9_000), "what the payment left");
        assert_eq!(refunded["refund"]["balance_after"], rub(10_000));
        assert_eq!(refunded["refund"]["reason"], "a mistake");
        assert_eq!(
            refunded["subscription"]["ends_at"],
            refunded["refund"]["refunded_at"]
        );
        let id: PurchaseId = id_of(&purchase);
        assert_eq!(customer.purchase(id).await, refunded);
        assert_eq!(customer.balance().await, 10_000);
        let transfers = customer.items("transfers?cause=refund").await;
        assert_eq!(transfers.len(), 1);
        assert_eq!(
            (&transfers[0]["cause_id"], &transfers[0]["amount"]),
            (&purchase["id"], &rub(1_000))
        );

        let told = said(&billing, id).await;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].version, told[0].refunded.amount.0), (3, 1_000));
        assert_eq!(told[0].balance_after.amount.0, 10_000);
        assert_eq!(told[0].reason.as_deref(), Some("a mistake"));
        let log = billing
            .admin
            .get(&format!("/billing/v1/audit?subject={id}"))
            .await
            .expect(200);
        assert_eq!(log["items"][0]["action"], "purchase.refund");
        assert_eq!(log["items"][0]["details"]["reason"], "a mistake");

        refund(&billing, &purchase)
            .await
            .expect_problem(409, "purchase_not_paid");
        assert_eq!(customer.balance().await, 10_000);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_refund_under_a_key_is_made_once_and_shown_again() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(10_000).await;
    let tariff = billing.tariff(1_000).await;
    let purchase = bought(&customer, tariff).await;
    let path = format!(
        "/billing/v1/purchases/{}/refund",
        purchase["id"].as_str().unwrap()
    );
    let reason = json!({"reason": "a mistake"});
    let first = billing.admin.post_once(&path, "key", &reason).await.expect(200);
    let again = billing.admin.post_once(&path, "key", &reason).await.expect(200);
    assert_eq!(first, again);
    billing
        .admin
        .post_once(&path, "key", &json!({"reason": "another"}))
        .await
        .expect_problem(422, "idempotency_key_reused");
    billing
        .admin
        .post_once(&path, "other", &reason)
        .await
        .expect_problem(409, "purchase_not_paid");
    assert_eq!(customer.balance().await, 10_000);
    billing.finish().await;
}

#[tokio::test]
async fn only_who_may_refunds_what_there_is_with_a_reason() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(1_000).await;
    let tariff = billing.tariff(1_000).await;
    let purchase = bought(&customer, tariff).await;
    let path = format!(
        "/billing/v1/purchases/{}/refund",
        purchase["id"].as_str().unwrap()
    );
    let reason = json!({"reason": "a mistake"});
    customer
        .api
        .post(&path, &reason)
        .await
        .expect_problem(403, "forbidden");
    let all_but: Vec<_> = Permission::ALL
        .iter()
        .copied()
        .filter(|permission| *permission != Permission::PurchasesRefund)
        .collect();
    let token = billing.service.token(billing.service.new_user(), &all_but);
    let other = billing.admin.with_token(token);
    other.post(&path, &reason).await.expect_problem(403, "forbidden");
    let nobody = format!("/billing/v1/purchases/{}/refund", customer.id);
    billing
        .admin
        .post(&nobody, &reason)
        .await
        .expect_problem(404, "not_found");
    for wrong in [
        json!({}),
        json!({"reason": null}),
        json!({"reason": "a", "more": 1}),
    ] {
        billing
            .admin
            .post(&path, &wrong)
            .await
            .expect_problem(422, "invalid_request");
    }
    for text in ["", "  ", "a\u{0}b", "a\nb", &"a".repeat(501)] {
        let problem = billing.admin.post(&path, &json!({"reason": text})).await;
        let problem = problem.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "reason");
    }
    // A failed one has nothing to give back.
    let problem = customer
        .buy(tariff)
        .await
        .expect_problem(402, "insufficient_funds");
    let failed = json!({"id": problem["purchase_id"]});
    refund(&billing, &failed)
        .await
        .expect_problem(409, "purchase_not_paid");
    assert_eq!(customer.balance().await, 0);
    billing.finish().await;
}

#[tokio::test]
async fn what_follows_a_refunded_subscription_moves_up_for_its_whole_period() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let mut purchases = Vec::new();
        for _ in 0..3 {
            purchases.push(bought(&customer, tariff).await);
        }
        let refunded = refund(&billing, &purchases[0]).await.expect(200);
        let at = &refunded["refund"]["refunded_at"];
        let given = customer.items("subscriptions").await;
        let of = |purchase: &Value| {
            let found = given.iter().find(|given| given["purchase_id"] == purchase["id"]);
            found.unwrap().clone()
        };
        let [first, second, third] = [0, 1, 2].map(|place: usize| of(&purchases[place]));
        assert_eq!((&first["ends_at"], &second["starts_at"]), (at, at));
        assert_eq!(second["ends_at"], third["starts_at"]);
        let month = chrono::Months::new(1);
        let instant =
            |value: &Value| -> chrono::DateTime<chrono::Utc> { value.as_str().unwrap().parse().unwrap() };
        // The refund names both, under the names that they were bought by, and again when asked for it.
        let id: PurchaseId = id_of(&purchases[0]);
        billing
            .service
            .peers
            .say(&ReportPurchaseV1 { purchase_id: id })
            .await;
        let told = said(&billing, id).await;
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], told[1]);
        let named: Vec<_> = told[0]
            .moved
            .iter()
            .map(|moved| {
                (
                    json!(moved.subscription_id),
                    json!(moved.starts_at),
                    json!(moved.ends_at),
                )
            })
            .collect();
        let listed = [&second, &third].map(|one| {
            (
                one["id"].clone(),
                one["starts_at"].clone(),
                one["ends_at"].clone(),
            )
        });
        assert_eq!(named, listed);
        assert!(told[0].moved.iter().all(|moved| moved.tariff_name == "Basic"));
        for moved in [&second, &third] {
            assert_eq!(instant(&moved["ends_at"]), instant(&moved["starts_at"]) + month);
        }
        // The last one, which has not begun, never does; buying again follows the second.
        refund(&billing, &purchases[2]).await.expect(200);
        let next = bought(&customer, tariff).await;
        assert_eq!(next["subscription"]["starts_at"], second["ends_at"]);
        assert_eq!(customer.balance().await, 8_000);
        billing.finish().await;
    }
}

#[tokio::test]
async fn what_never_begins_after_its_refund_keeps_nobody_waiting() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let (first, second) = (bought(&customer, tariff).await, bought(&customer, tariff).await);
        // The later one first: it stays where it would have begun, after what ends now.
        refund(&billing, &second).await.expect(200);
        let refunded = refund(&billing, &first).await.expect(200);
        let at =
            |value: &Value| -> chrono::DateTime<chrono::Utc> { value.as_str().unwrap().parse().unwrap() };
        let next = bought(&customer, tariff).await;
        let (starts, ended) = (
            at(&next["subscription"]["starts_at"]),
            at(&refunded["refund"]["refunded_at"]),
        );
        assert!(starts - ended < chrono::Duration::days(1), "{next:#}");
        assert_eq!(customer.items("subscriptions?active=true").await.len(), 1);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_cost_nothing_is_refunded_without_a_transfer() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let tariff = billing.tariff(0).await;
    let purchase = bought(&customer, tariff).await;
    let refunded = refund(&billing, &purchase).await.expect(200);
    assert_eq!(refunded["refund"]["balance_after"], rub(0));
    assert!(customer.items("transfers").await.is_empty());
    assert_eq!(said(&billing, id_of(&purchase)).await[0].refunded.amount.0, 0);
    billing.finish().await;
}

#[tokio::test]
async fn what_a_deleted_user_would_get_back_is_kept_elsewhere() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(1_000).await;
        billing.register(&customer).await;
        let tariff = billing.tariff(1_000).await;
        let purchase = bought(&customer, tariff).await;
        let deleted = billing.user_state(customer.id, 2, UserStatus::Deleted);
        billing.service.peers.say(&UserDeletedV1(deleted)).await;
        let refunded = refund(&billing, &purchase).await.expect(200);
        assert_eq!(refunded["refund"]["balance_after"], rub(0));
        let path = format!("/billing/v1/transfers?user_id={}", customer.id);
        let transfers = billing.admin.get(&path).await.expect(200);
        let shown: Vec<_> = [0, 1]
            .map(|place: usize| transfers["items"][place]["cause"].clone())
            .into();
        assert_eq!(shown, ["forfeiture", "refund"]);
        assert_eq!(transfers["items"][0]["amount"], rub(-1_000));
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_question_for_the_outcome_of_a_refunded_purchase_gets_the_refund_again() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(1_000).await;
    let tariff = billing.tariff(1_000).await;
    let (answer, hold) = billing.begin(&customer, tariff).await;
    billing.service.peers.say(&held(&hold, 100)).await;
    let purchase = answer.await.unwrap().expect(201);
    refund(&billing, &purchase).await.expect(200);
    let report = ReportPurchaseV1 {
        purchase_id: hold.purchase_id,
    };
    billing.service.peers.say(&report).await;
    let told = said(&billing, hold.purchase_id).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1]);
    assert!(told[0].with_promocode);
    billing.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_refunds_at_once_one_is_made() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(5_000).await;
        let tariff = billing.tariff(1_000).await;
        let purchase = bought(&customer, tariff).await;
        // And the wallet moves beside them.
        let buying = (0..4).map(|_| customer.buy(tariff));
        let refunding = (0..8).map(|_| refund(&billing, &purchase));
        let (refunds, purchases) = tokio::join!(
            futures::future::join_all(refunding),
            futures::future::join_all(buying)
        );
        let done = refunds.iter().filter(|answer| answer.status == 200).count();
        let refused = refunds.iter().filter(|answer| answer.status == 409).count();
        assert_eq!((done, refused), (1, 7), "{refunds:#?}");
        for purchase in purchases {
            purchase.expect(201);
        }
        assert_eq!(customer.balance().await, 1_000);
        let mut given = customer.items("subscriptions").await;
        given.retain(|given| given["purchase_id"] != purchase["id"]);
        assert_eq!(given.len(), 4);
        billing.finish().await;
    }
}

#[tokio::test]
async fn of_two_first_purchases_at_once_the_second_is_refused_with_its_reason() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let (one, first) = billing.begin(&customer, tariff).await;
        let (other, second) = billing.begin(&customer, tariff).await;
        assert!(!first.has_purchased && !second.has_purchased);
        let batch = [&first, &second].map(|hold| shared::contracts::PromocodeHeldV1 {
            first_purchase_only: true,
            ..held(hold, 100)
        });
        peers.deliver(&peers.seal_all(&batch)).await;
        one.await.unwrap().expect(201);
        let problem = other.await.unwrap().expect_problem(422, "promocode_refused");
        assert_eq!(problem["reasons"][0]["code"], "not_first_purchase");
        assert!(problem["reasons"][0]["found"].is_object(), "{problem:#}");
        assert_eq!(customer.balance().await, 9_100);
        let failed: PurchaseFailedV1 = peers
            .hears(crate::LOYALTY, |failed: &PurchaseFailedV1| {
                failed.purchase_id == second.purchase_id
            })
            .await;
        assert_eq!(failed.refusal_reasons.len(), 1);

        // In a batch of its own, too, and told when it is asked for.
        let (third, hold) = billing.begin(&customer, tariff).await;
        assert!(hold.has_purchased);
        let late = shared::contracts::PromocodeHeldV1 {
            first_purchase_only: true,
            ..held(&hold, 100)
        };
        peers.say(&late).await;
        third.await.unwrap().expect_problem(422, "promocode_refused");
        // Others' purchases are not one's own, and failed ones are none.
        let stranger = billing.customer();
        stranger.buy(tariff).await.expect(402);
        let (answer, hold) = billing.begin(&stranger, tariff).await;
        assert!(!hold.has_purchased);
        peers.say(&held(&hold, 1_000)).await;
        answer.await.unwrap().expect(201);
        billing.finish().await;
    }
}

#[tokio::test]
async fn who_was_given_everything_back_has_purchased_all_the_same() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(10_000).await;
    let tariff = billing.tariff(1_000).await;
    let purchase = bought(&customer, tariff).await;
    refund(&billing, &purchase).await.expect(200);
    let (answer, hold) = billing.begin(&customer, tariff).await;
    assert!(hold.has_purchased);
    let first = shared::contracts::PromocodeHeldV1 {
        first_purchase_only: true,
        ..held(&hold, 100)
    };
    billing.service.peers.say(&first).await;
    answer.await.unwrap().expect_problem(422, "promocode_refused");
    let told: Vec<UserId> = billing
        .service
        .peers
        .heard::<PurchasePaidV1>(crate::LOYALTY)
        .iter()
        .map(|paid| paid.user_id)
        .collect();
    assert!(told.iter().all(|user| *user == customer.id));
    billing.finish().await;
}

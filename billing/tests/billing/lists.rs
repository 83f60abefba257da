//! Lists of purchases and transfers, and what they can be asked for.

use serde_json::{Value, json};
use shared::{contracts::PromocodeRefusedV1, testing::TestDatabase};

use crate::{Billing, DATABASES, held};

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn purchases_are_listed_by_status_tariff_and_time() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(1_500).await;
        let (tariff, other) = (billing.tariff(1_000).await, billing.tariff(500).await);
        let paid = customer.buy(tariff).await.expect(201);
        let failed = customer.buy(tariff).await.expect(402);
        let refunded = customer.buy(other).await.expect(201);
        let path = format!(
            "/billing/v1/purchases/{}/refund",
            refunded["id"].as_str().unwrap()
        );
        billing
            .admin
            .post(&path, &json!({"reason": "x"}))
            .await
            .expect(200);
        let (_answer, hold) = billing.begin(&customer, tariff).await;
        let pending = hold.purchase_id.to_string();
        let of = |what: String| {
            let customer = &customer;
            async move { customer.items(&format!("purchases?{what}")).await }
        };
        assert_eq!(
            ids(&of("status=paid".into()).await),
            [paid["id"].as_str().unwrap()]
        );
        assert_eq!(
            ids(&of("status=failed".into()).await),
            [failed["purchase_id"].as_str().unwrap()]
        );
        assert_eq!(
            ids(&of("status=refunded".into()).await),
            [refunded["id"].as_str().unwrap()]
        );
        assert_eq!(ids(&of("status=pending".into()).await), [pending.as_str()]);
        assert_eq!(of(format!("tariff_id={tariff}")).await.len(), 3);
        assert_eq!(of(format!("tariff_id={tariff}&status=paid")).await.len(), 1);
        let at = refunded["requested_at"].as_str().unwrap();
        assert_eq!(of(format!("from={at}")).await.len(), 2);
        assert_eq!(of(format!("to={at}")).await.len(), 2);
        assert_eq!(of(format!("from={at}&to={at}")).await.len(), 0);
        // Pages of what is asked for.
        let page = customer
            .api
            .get(&format!("/billing/v1/purchases?tariff_id={tariff}&limit=2"))
            .await
            .expect(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = of(format!("tariff_id={tariff}&limit=2&cursor={cursor}")).await;
        assert_eq!(ids(&rest), [paid["id"].as_str().unwrap()]);

        let stranger = billing.customer();
        assert!(stranger.items("purchases").await.is_empty());
        let path = format!("/billing/v1/purchases?user_id={}&status=paid", customer.id);
        stranger.api.get(&path).await.expect_problem(403, "forbidden");
        let shown = billing.admin.get(&path).await.expect(200);
        assert_eq!(shown["items"].as_array().unwrap().len(), 1);
        for wrong in [
            "status=gone",
            "tariff_id=7",
            "from=yesterday",
            "to=-262000-01-01T00:00:00Z",
        ] {
            customer
                .api
                .get(&format!("/billing/v1/purchases?{wrong}"))
                .await
                .expect_problem(400, "invalid_query");
        }
        billing.service.peers.say(&held(&hold, 1_000)).await;
        billing.finish().await;
    }
}

#[tokio::test]
async fn transfers_are_listed_by_cause_and_time() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(1_500).await;
        customer.withdraw(100).await.expect(200);
        customer.withdraw(200).await.expect(200);
        let withdrawals = customer.items("transfers?cause=withdrawal").await;
        assert_eq!(withdrawals.len(), 2);
        let at = withdrawals[1]["at"].as_str().unwrap();
        assert_eq!(customer.items(&format!("transfers?from={at}")).await.len(), 2);
        assert_eq!(customer.items(&format!("transfers?to={at}")).await.len(), 1);
        let none = customer
            .items(&format!("transfers?to={at}&cause=withdrawal"))
            .await;
        assert!(none.is_empty());
        for wrong in ["cause=gift", "from=x"] {
            customer
                .api
                .get(&format!("/billing/v1/transfers?{wrong}"))
                .await
                .expect_problem(400, "invalid_query");
        }
        billing.finish().await;
    }
}

#[tokio::test]
async fn only_its_buyer_cancels_a_purchase_and_a_late_answer_changes_nothing() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(1_500).await;
        let tariff = billing.tariff(1_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let path = format!("/billing/v1/purchases/{}/cancel", hold.purchase_id);
        let stranger = billing.customer();
        for api in [&stranger.api, &billing.admin] {
            api.post(&path, &json!({})).await.expect_problem(404, "not_found");
        }
        let cancelled = customer.api.post(&path, &json!({})).await.expect(200);
        assert_eq!(cancelled["failure_reason"], "cancelled");
        answer.await.unwrap().expect_problem(409, "purchase_cancelled");
        peers.say(&held(&hold, 100)).await;
        let refused = PromocodeRefusedV1 {
            purchase_id: hold.purchase_id,
            user_id: customer.id,
            reasons: Vec::new(),
        };
        peers.say(&refused).await;
        assert_eq!(customer.api.post(&path, &json!({})).await.expect(200), cancelled);
        assert_eq!(customer.balance().await, 1_500);

        let paid = customer.buy(tariff).await.expect(201);
        let path = format!("/billing/v1/purchases/{}/cancel", paid["id"].as_str().unwrap());
        customer
            .api
            .post(&path, &json!({}))
            .await
            .expect_problem(409, "purchase_not_pending");
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_purchase_that_waits_keeps_the_price_it_was_begun_at_and_changes_are_written_down() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(5_000).await;
    let tariff = billing.tariff(1_000).await;
    let (answer, hold) = billing.begin(&customer, tariff).await;
    let path = format!("/billing/v1/tariffs/{tariff}");
    let price = json!({"price": crate::rub(3_000)});
    billing.admin.patch(&path, &price).await.expect(200);
    billing.admin.patch(&path, &price).await.expect(200);
    let archive = format!("{path}/archive");
    for _ in 0..2 {
        billing.admin.post(&archive, &json!({})).await.expect(200);
    }
    billing.service.peers.say(&held(&hold, 100)).await;
    let bought = answer.await.unwrap().expect(201);
    assert_eq!(bought["charged"], crate::rub(900));
    let path = format!("/billing/v1/audit?subject={tariff}");
    let log = billing.admin.get(&path).await.expect(200);
    let items = log["items"].as_array().unwrap();
    let actions: Vec<_> = items.iter().map(|item| item["action"].clone()).collect();
    assert_eq!(
        actions,
        ["tariff.archive", "tariff.change", "tariff.create"],
        "what changes nothing is not written down"
    );
    assert_eq!(items[1]["details"]["before"]["price"], crate::rub(1_000));
    assert_eq!(items[1]["details"]["now"]["price"], crate::rub(3_000));
    billing.finish().await;
}

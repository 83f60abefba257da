//! What is sold.

use serde_json::json;
use shared::{
    contracts::{Permission, TariffChangedV1, TariffStatus},
    testing::TestDatabase,
};

use crate::{Billing, DATABASES, LOYALTY, held, id_of, money, rub};

#[tokio::test]
async fn a_tariff_is_put_on_sale_changed_and_archived_and_each_is_told() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        let body = json!({"name": " Basic ", "price": rub(1_000), "period": "P1M"});
        let answer = billing.admin.post("/billing/v1/tariffs", &body).await;
        let location = answer.headers["location"].to_str().unwrap().to_owned();
        let created = answer.expect(201);
        assert_eq!(
            (&created["name"], &created["version"], &created["status"]),
            (&json!("Basic"), &json!(1), &json!("active"))
        );
        assert_eq!(customer.api.get(&location).await.expect(200), created);
        assert_eq!(customer.items("tariffs").await, [created]);

        let changed = billing
            .admin
            .patch(&location, &json!({"price": rub(2_000)}))
            .await
            .expect(200);
        assert_eq!(
            (&changed["price"], &changed["name"], &changed["version"]),
            (&rub(2_000), &json!("Basic"), &json!(2))
        );
        let same = billing
            .admin
            .patch(&location, &json!({"name": "Basic"}))
            .await
            .expect(200);
        assert_eq!(same, changed, "what is so already makes no version");
        let archive = format!("{location}/archive");
        for _ in 0..2 {
            let archived = billing.admin.post(&archive, &json!({})).await.expect(200);
            assert_eq!(
                (&archived["status"], &archived["version"]),
                (&json!("archived"), &json!(3))
            );
        }
        assert!(customer.items("tariffs").await.is_empty());
        customer
            .api
            .get("/billing/v1/tariffs?status=all")
            .await
            .expect_problem(403, "forbidden");
        assert_eq!(
            billing
                .admin
                .get("/billing/v1/tariffs?status=archived")
                .await
                .expect(200)["items"][0]["version"],
            3
        );
        for change in [json!({"name": "Again"}), json!({"name": "Basic"}), json!({})] {
            let refused = billing.admin.patch(&location, &change).await;
            refused.expect_problem(409, "tariff_archived");
        }
        let id = location.rsplit('/').next().unwrap().parse().unwrap();
        customer.buy(id).await.expect_problem(409, "tariff_not_sold");

        billing
            .service
            .peers
            .hears::<TariffChangedV1>(LOYALTY, |told| told.version == 3)
            .await;
        let mut told = billing.service.peers.heard::<TariffChangedV1>(LOYALTY);
        told.sort_by_key(|told| told.version);
        let shown: Vec<_> = told
            .iter()
            .map(|told| (told.version, told.price, told.status))
            .collect();
        let (active, archived) = (TariffStatus::Active, TariffStatus::Archived);
        assert_eq!(
            shown,
            [
                (1, money(1_000), active),
                (2, money(2_000), active),
                (3, money(2_000), archived)
            ]
        );
        assert!(
            told.iter()
                .all(|told| told.tariff_id == id && told.name == "Basic" && told.period == "P1M")
        );
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_new_price_leaves_running_purchases_and_what_was_bought_as_they_were() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let bought = customer.buy(tariff).await.expect(201);
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let change = json!({"price": rub(5_000), "name": "Dear"});
        billing
            .admin
            .patch(&format!("/billing/v1/tariffs/{tariff}"), &change)
            .await
            .expect(200);
        billing
            .admin
            .post(&format!("/billing/v1/tariffs/{tariff}/archive"), &json!({}))
            .await
            .expect(200);
        billing.service.peers.say(&held(&hold, 100)).await;
        let waited = answer.await.unwrap().expect(201);
        assert_eq!(
            (&waited["charged"], &waited["tariff_name"]),
            (&rub(900), &json!("Basic"))
        );
        assert_eq!(customer.purchase(id_of(&bought)).await, bought);
        assert_eq!(customer.balance().await, 8_100);
        billing.finish().await;
    }
}

#[tokio::test]
async fn tariffs_are_changed_by_those_who_may() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let tariff = billing.tariff(1_000).await;
    let others: Vec<_> = Permission::ALL
        .iter()
        .copied()
        .filter(|it| *it != Permission::TariffsWrite)
        .collect();
    let api = billing
        .service
        .api
        .with_token(billing.service.token(billing.service.new_user(), &others));
    let path = format!("/billing/v1/tariffs/{tariff}");
    let body = json!({"name": "Mine", "price": rub(1), "period": "P1M"});
    api.post("/billing/v1/tariffs", &body)
        .await
        .expect_problem(403, "forbidden");
    api.patch(&path, &json!({"price": rub(1)}))
        .await
        .expect_problem(403, "forbidden");
    api.post(&format!("{path}/archive"), &json!({}))
        .await
        .expect_problem(403, "forbidden");
    assert_eq!(api.get(&path).await.expect(200)["version"], 1);
    billing.finish().await;
}

#[tokio::test]
async fn a_change_with_wrong_fields_changes_nothing() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let tariff = billing.tariff(1_000).await;
    let path = format!("/billing/v1/tariffs/{tariff}");
    for body in [
        json!({"price": rub(-1)}),
        json!({"price": {"amount": 1, "currency": "EUR"}}),
        json!({"price": null}),
        json!({"name": ""}),
        json!({"period": "P0D"}),
        json!({"status": "archived"}),
        json!({"version": 7}),
    ] {
        billing
            .admin
            .patch(&path, &body)
            .await
            .expect_problem(422, "invalid_request");
    }
    assert_eq!(billing.admin.get(&path).await.expect(200)["version"], 1);
    let nobodys = "/billing/v1/tariffs/0197a3c4-0000-7000-8000-000000000000";
    billing
        .admin
        .patch(nobodys, &json!({}))
        .await
        .expect_problem(404, "not_found");
    billing
        .admin
        .post(&format!("{nobodys}/archive"), &json!({}))
        .await
        .expect_problem(404, "not_found");
    billing.finish().await;
}

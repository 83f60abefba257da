//! What purchases give.

use std::sync::Arc;

use chrono::{DateTime, Months, Utc};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};
use shared::{
    clock::ManualClock,
    contracts::{UserRegisteredV1, UserState, UserStatus, UserUpdatedV1},
    ids::TariffId,
    testing::TestDatabase,
};

use crate::{Billing, Customer, DATABASES, held, id_of, rub};

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn buying_again_extends_what_runs_and_another_tariff_runs_beside_it() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let (tariff, other) = (billing.tariff(1_000).await, billing.tariff(1_000).await);
        let first = customer.buy(tariff).await.expect(201)["subscription"].clone();
        let second = customer.buy(tariff).await.expect(201)["subscription"].clone();
        let beside = customer.buy(other).await.expect(201)["subscription"].clone();
        let (starts, ends) = (instant(&first["starts_at"]), instant(&first["ends_at"]));
        assert_eq!(ends, starts + Months::new(1));
        assert_eq!(second["starts_at"], first["ends_at"]);
        assert_eq!(instant(&second["ends_at"]), ends + Months::new(1));
        assert!(instant(&beside["starts_at"]) < ends);
        let listed = customer.items("subscriptions").await;
        assert_eq!(listed, [second, beside, first], "the last to start first");
        billing.finish().await;
    }
}

#[tokio::test]
async fn purchases_of_one_batch_follow_each_other() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let (_one, first) = billing.begin(&customer, tariff).await;
        let (_two, second) = billing.begin(&customer, tariff).await;
        let batch = [held(&first, 0), held(&second, 1_000)];
        billing
            .service
            .peers
            .deliver(&billing.service.peers.seal_all(&batch))
            .await;
        let given = customer.items("subscriptions").await;
        assert_eq!(given.len(), 2);
        assert_eq!(given[0]["starts_at"], given[1]["ends_at"]);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_at_once_follow_each_other_without_gap_or_overlap() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        let tariff = billing.tariff(0).await;
        for answer in futures::future::join_all((0..12).map(|_| customer.buy(tariff))).await {
            answer.expect(201);
        }
        let given = customer.items("subscriptions").await;
        assert_eq!(given.len(), 12);
        for pair in given.windows(2) {
            assert_eq!(pair[0]["starts_at"], pair[1]["ends_at"], "{given:#?}");
        }
        billing.finish().await;
    }
}

/// 31 January 2027, 01:00 in Moscow.
const LAST_OF_JANUARY: &str = "2027-01-30T22:00:00Z";

async fn in_moscow(database: TestDatabase) -> Billing {
    let clock = ManualClock::at(LAST_OF_JANUARY.parse().unwrap());
    Billing::with(database, Arc::new(clock), |config| {
        config.time_zone = "Europe/Moscow".parse().unwrap();
    })
    .await
}

async fn tariff_for(billing: &Billing, period: &str) -> TariffId {
    let body = json!({"name": "Basic", "price": rub(0), "period": period});
    id_of(&billing.admin.post("/billing/v1/tariffs", &body).await.expect(201))
}

/// From when to when each of the customer's subscriptions runs, the first to start first.
async fn terms(customer: &Customer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = customer.items("subscriptions").await;
    let terms = listed
        .iter()
        .map(|one| (text(&one["starts_at"]), text(&one["ends_at"])));
    let mut terms: Vec<_> = terms.collect();
    terms.reverse();
    terms
}

fn written(terms: &[(&str, &str)]) -> Vec<(String, String)> {
    let written = terms
        .iter()
        .map(|(start, end)| ((*start).to_owned(), (*end).to_owned()));
    written.collect()
}

#[tokio::test]
async fn months_are_counted_from_the_first_day_in_the_zone_of_the_platform() {
    for database in DATABASES {
        let billing = in_moscow(database).await;
        let customer = billing.customer();
        let tariff = tariff_for(&billing, "P1M").await;
        let mut bought = Vec::new();
        for _ in 0..4 {
            bought.push(customer.buy(tariff).await.expect(201));
        }
        let (february, march, april, may) = (
            "2027-02-27T22:00:00Z",
            "2027-03-30T22:00:00Z",
            "2027-04-29T22:00:00Z",
            "2027-05-30T22:00:00Z",
        );
        let sold = terms(&customer).await;
        let ends: Vec<_> = sold.iter().map(|(_, end)| end.as_str()).collect();
        assert_eq!(ends, [february, march, april, may]);

        // What follows one that has not begun takes its place; the next purchase goes on from there.
        let refund = format!(
            "/billing/v1/purchases/{}/refund",
            bought[1]["id"].as_str().unwrap()
        );
        billing
            .admin
            .post(&refund, &json!({"reason": "x"}))
            .await
            .expect(200);
        customer.buy(tariff).await.expect(201);
        let mut sold = terms(&customer).await;
        sold.retain(|(start, end)| start != end);
        let ends: Vec<_> = sold.iter().map(|(_, end)| end.as_str()).collect();
        assert_eq!(ends, [february, march, april, may]);
        for pair in sold.windows(2) {
            assert_eq!(pair[0].1, pair[1].0);
        }
        billing.finish().await;
    }
}

#[tokio::test]
async fn what_an_older_program_sold_keeps_its_end_and_the_next_goes_on_from_its_start() {
    for database in DATABASES {
        let billing = in_moscow(database).await;
        let customer = billing.customer();
        let tariff = tariff_for(&billing, "P1M").await;
        customer.buy(tariff).await.expect(201);
        let older = "UPDATE subscriptions SET anchor_at = NULL, anchor_zone = NULL, anchor_months = NULL, \
             anchor_days = NULL, ends_at = $1";
        let end: DateTime<Utc> = "2027-02-28T22:00:00Z".parse().unwrap();
        let conn = billing.service.db.writer();
        let older = Statement::from_sql_and_values(conn.get_database_backend(), older, [end.into()]);
        conn.execute_raw(older).await.unwrap();
        for _ in 0..2 {
            customer.buy(tariff).await.expect(201);
        }
        assert_eq!(
            terms(&customer).await,
            written(&[
                (LAST_OF_JANUARY, "2027-02-28T22:00:00Z"),
                ("2027-02-28T22:00:00Z", "2027-03-30T22:00:00Z"),
                ("2027-03-30T22:00:00Z", "2027-04-30T22:00:00Z"),
            ])
        );
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_tariff_whose_period_changes_moves_the_anchor_where_it_has_to() {
    let billing = in_moscow(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let tariff = tariff_for(&billing, "P1M").await;
    let change = format!("/billing/v1/tariffs/{tariff}");
    for period in ["P1M", "P1Y", "P30D", "P1M"] {
        billing
            .admin
            .patch(&change, &json!({"period": period}))
            .await
            .expect(200);
        customer.buy(tariff).await.expect(201);
    }
    let sold = terms(&customer).await;
    let ends: Vec<_> = sold.iter().map(|(_, end)| end.as_str()).collect();
    assert_eq!(
        ends,
        [
            "2027-02-27T22:00:00Z",
            // Thirteen months after 31 January.
            "2028-02-28T22:00:00Z",
            "2028-03-29T22:00:00Z",
            "2028-04-29T22:00:00Z",
        ]
    );
    billing.finish().await;
}

#[tokio::test]
async fn a_new_chain_takes_the_zone_of_its_user_and_keeps_it() {
    for database in DATABASES {
        let billing = in_moscow(database).await;
        let customer = billing.customer();
        let tariff = tariff_for(&billing, "P1M").await;
        let in_zone = |version, name: Option<&str>| UserState {
            time_zone: name.map(|name| name.parse().unwrap()),
            ..billing.user_state(customer.id, version, UserStatus::Active)
        };
        let peers = &billing.service.peers;
        peers
            .say(&UserRegisteredV1(in_zone(1, Some("America/New_York"))))
            .await;
        customer.buy(tariff).await.expect(201);
        let first = terms(&customer).await;
        // 30 January, 17:00 there; and 28 February.
        assert_eq!(first, written(&[(LAST_OF_JANUARY, "2027-02-28T22:00:00Z")]));
        peers.say(&UserUpdatedV1(in_zone(2, None))).await;
        // An older state that comes late changes nothing.
        peers.say(&UserUpdatedV1(in_zone(1, Some("Asia/Tokyo")))).await;
        assert_eq!(terms(&customer).await, first, "what is sold stays");
        customer.buy(tariff).await.expect(201);
        let other = tariff_for(&billing, "P1M").await;
        customer.buy(other).await.expect(201);
        let sold = terms(&customer).await;
        // To the second: movements of a wallet at one instant follow each other by microseconds.
        let ends: Vec<_> = sold.iter().map(|(_, end)| &end[..19]).collect();
        let expected = [
            "2027-02-28T22:00:00",
            // Another tariff: 28 February, 01:00 in Moscow.
            "2027-02-27T22:00:00",
            // 30 March, 17:00 in New York, where the clocks have changed by then.
            "2027-03-30T21:00:00",
        ];
        assert_eq!(ends, expected);
        billing.finish().await;
    }
}

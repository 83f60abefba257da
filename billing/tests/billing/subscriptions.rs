//! What purchases give.

use chrono::{DateTime, Months, Utc};
use serde_json::Value;

use crate::{Billing, DATABASES, held};

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

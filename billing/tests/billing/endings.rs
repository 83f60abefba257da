//! Subscriptions that are cancelled, and that end.

use std::sync::Arc;

use billing::app::remind_of_endings::remind_of_endings;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};
use shared::{
    clock::{ManualClock, SystemClock},
    contracts::SubscriptionEndingV1,
    ids::TariffId,
    testing::TestDatabase,
};

use crate::{Billing, Customer, DATABASES, id_of, rub};

const NOTICE: Duration = Duration::days(3);

struct Story {
    billing: Billing,
    clock: ManualClock,
    customer: Customer,
    tariff: TariffId,
}

impl Story {
    async fn begin(database: TestDatabase) -> Self {
        let clock = ManualClock::at(shared::clock::Clock::now(&SystemClock));
        let billing = Billing::with(database, Arc::new(clock.clone()), |_| {}).await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        Self {
            billing,
            clock,
            customer,
            tariff,
        }
    }

    async fn buy(&self) -> Value {
        let bought = self.customer.buy(self.tariff).await.expect(201);
        bought["subscription"].clone()
    }

    /// Lets time pass until so long before the end, also for the token.
    fn pass_until(&mut self, before_end: Duration, subscription: &Value) {
        let ends_at: DateTime<Utc> = subscription["ends_at"].as_str().unwrap().parse().unwrap();
        let now = self.billing.service.peers.now();
        self.clock.advance(ends_at - before_end - now);
        self.customer.api = self.billing.service.api_of(self.customer.id);
        self.billing.admin = self.billing.service.api_of_admin();
    }

    async fn look(&self) -> Vec<SubscriptionEndingV1> {
        remind_of_endings(&self.billing.service.db, NOTICE).await.unwrap();
        self.billing.said::<SubscriptionEndingV1>().await
    }

    async fn cancel(&self, subscription: &Value) -> shared::testing::Answer {
        let path = format!(
            "/billing/v1/subscriptions/{}/cancel",
            subscription["id"].as_str().unwrap()
        );
        self.customer.api.post(&path, &json!({})).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_told_once_in_time_by_whichever_replica_looks() {
    for database in DATABASES {
        let mut story = Story::begin(database).await;
        let subscription = story.buy().await;
        story.pass_until(NOTICE + Duration::seconds(1), &subscription);
        assert!(story.look().await.is_empty(), "too early");
        story.pass_until(NOTICE, &subscription);
        futures::future::join_all((0..4).map(|_| story.look())).await;
        let said = story.look().await;
        assert_eq!(said.len(), 1, "{said:#?}");
        assert_eq!(said[0].subscription_id, id_of(&subscription));
        assert_eq!(
            (said[0].tariff_id, said[0].tariff_name.as_str()),
            (story.tariff, "Basic")
        );
        assert_eq!(said[0].user_id, story.customer.id);
        story.billing.finish().await;
    }
}

#[tokio::test]
async fn what_is_followed_or_cancelled_or_just_bought_is_not_told_of() {
    for database in DATABASES {
        let mut story = Story::begin(database).await;
        let first = story.buy().await;
        let second = story.buy().await;
        story.pass_until(Duration::days(1), &first);
        assert!(story.look().await.is_empty(), "the second follows");
        let cancelled = story.cancel(&second).await.expect(200);
        assert!(cancelled["cancelled_at"].is_string());
        assert_eq!(cancelled["ends_at"], second["ends_at"]);
        story.pass_until(Duration::days(1), &second);
        assert!(story.look().await.is_empty(), "nobody wants to hear of it");
        let active = story.customer.items("subscriptions?active=true").await;
        assert_eq!(active, [cancelled], "usable until its end");
        // Buying after all: that one is told of.
        let third = story.buy().await;
        story.pass_until(Duration::days(1), &third);
        assert_eq!(story.look().await.len(), 1);

        let body = json!({"name": "Day", "price": rub(10), "period": "P1D"});
        let tariffs = "/billing/v1/tariffs";
        let day: TariffId = id_of(&story.billing.admin.post(tariffs, &body).await.expect(201));
        story.customer.buy(day).await.expect(201);
        assert_eq!(story.look().await.len(), 1, "a day is shorter than the notice");
        story.billing.finish().await;
    }
}

#[tokio::test]
async fn a_refund_of_what_follows_makes_the_end_one_to_tell_of() {
    let mut story = Story::begin(TestDatabase::Sqlite).await;
    let first = story.buy().await;
    let second = story.buy().await;
    story.pass_until(Duration::days(1), &first);
    assert!(story.look().await.is_empty());
    let path = format!(
        "/billing/v1/purchases/{}/refund",
        second["purchase_id"].as_str().unwrap()
    );
    story
        .billing
        .admin
        .post(&path, &json!({"reason": "changed their mind"}))
        .await
        .expect(200);
    let said = story.look().await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].subscription_id, id_of(&first));
    story.billing.finish().await;
}

#[tokio::test]
async fn a_subscription_is_cancelled_by_its_user_before_its_end() {
    let mut story = Story::begin(TestDatabase::Sqlite).await;
    let subscription = story.buy().await;
    let path = format!(
        "/billing/v1/subscriptions/{}/cancel",
        subscription["id"].as_str().unwrap()
    );
    let other = story.billing.customer();
    other
        .api
        .post(&path, &json!({}))
        .await
        .expect_problem(404, "not_found");
    story
        .billing
        .admin
        .post(&path, &json!({}))
        .await
        .expect_problem(404, "not_found");
    let first = story.cancel(&subscription).await.expect(200);
    story.clock.advance(Duration::seconds(1));
    assert_eq!(story.cancel(&subscription).await.expect(200), first);
    let second = story.buy().await;
    story.pass_until(Duration::zero(), &second);
    story
        .cancel(&second)
        .await
        .expect_problem(409, "subscription_ended");
    story.billing.finish().await;
}

#[tokio::test]
async fn subscriptions_are_listed_by_what_runs_and_to_what() {
    for database in DATABASES {
        let mut story = Story::begin(database).await;
        let (first, second) = (story.buy().await, story.buy().await);
        let other = story.billing.tariff(1_000).await;
        let beside = story.customer.buy(other).await.expect(201)["subscription"].clone();
        let customer = story.customer.clone();
        // One wallet's movements follow one another, by microseconds where the clock stands still.
        story.clock.advance(Duration::seconds(1));
        let active = customer.items("subscriptions?active=true").await;
        assert_eq!(active, [beside.clone(), first.clone()]);
        assert_eq!(
            customer.items("subscriptions?active=false").await,
            std::slice::from_ref(&second)
        );
        let of_tariff = customer
            .items(&format!("subscriptions?tariff_id={}", story.tariff))
            .await;
        assert_eq!(of_tariff, [second.clone(), first.clone()]);
        story.pass_until(Duration::days(1), &second);
        assert_eq!(
            story.customer.items("subscriptions?active=true").await,
            std::slice::from_ref(&second)
        );
        let path = format!("/billing/v1/subscriptions?user_id={}", customer.id);
        let shown = story.billing.admin.get(&path).await.expect(200);
        assert_eq!(shown["items"].as_array().unwrap().len(), 3);
        let stranger = story.billing.customer();
        stranger.api.get(&path).await.expect_problem(403, "forbidden");
        stranger
            .api
            .get("/billing/v1/subscriptions?active=maybe")
            .await
            .expect_problem(400, "invalid_query");
        story.billing.finish().await;
    }
}

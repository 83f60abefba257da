//! Two processes of each service side by side.

mod jobs;
mod waiting;

use std::{collections::HashSet, path::PathBuf};

use serde::Deserialize;
use serde_json::json;
use shared::{
    contracts::{HoldPromocodeV1, Message as _, PromocodeHeldV1, PurchasePaidV1, ServiceName},
    testing::eventually,
};

use crate::{
    broker::Broker,
    platform::{Platform, User, rub},
};

const REPLICAS: usize = 2;
const CONSUMERS: [ServiceName; 3] = [
    ServiceName::Loyalty,
    ServiceName::Billing,
    ServiceName::Notifications,
];

async fn start() -> Platform {
    Platform::distributed_with(REPLICAS, &[("KOPECK_LOG__FORMAT", "json")]).await
}

/// A message that a replica has applied, as its log tells.
#[derive(Clone, Debug, Deserialize)]
struct Applied {
    #[serde(skip)]
    replica: usize,
    message: String,
    message_type: String,
    subject: String,
    id: String,
}

/// Where the replicas log.
struct Logs(PathBuf);

impl Logs {
    fn of(platform: &mut Platform) -> Self {
        Self(platform.cluster().folder().to_path_buf())
    }

    /// All that the replicas of `service` have applied.
    fn applied(&self, service: ServiceName) -> Vec<Applied> {
        let mut all = Vec::new();
        for replica in 1..=REPLICAS {
            let log = std::fs::read_to_string(self.0.join(format!("{service}-{replica}.log"))).unwrap();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Applied>(line).ok());
            all.extend(
                lines
                    .filter(|line| line.message == "applied")
                    .map(|line| Applied { replica, ..line }),
            );
        }
        all
    }

    /// The same, of one kind only.
    fn applied_of(&self, service: ServiceName, message_type: &str) -> Vec<Applied> {
        let mut all = self.applied(service);
        all.retain(|applied| applied.message_type == message_type);
        all
    }

    /// The same, when there are so many: a line comes a little after its commit.
    async fn eventually_applied_of(
        &self,
        service: ServiceName,
        message_type: &str,
        count: usize,
    ) -> Vec<Applied> {
        eventually(&format!("{service} has applied {count} {message_type}"), || {
            let applied = self.applied_of(service, message_type);
            std::future::ready((applied.len() >= count).then_some(applied))
        })
        .await
    }
}

/// Users with money, for whom the platform has nothing left to do.
async fn buyers(platform: &Platform, count: usize) -> Vec<User> {
    let mut users = Vec::with_capacity(count);
    for number in 0..count {
        users.push(platform.user(&format!("buyer{number}"), 10_000_000).await);
    }
    for user in &users {
        user.letters(2).await;
    }
    users
}

/// A promocode that everybody may use as often as they like.
async fn promocode_for_all(platform: &Platform) {
    platform
        .campaign(json!({
            "name": "All",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "ALL"},
        }))
        .await;
}

/// Purchases of each user in one round, half of them with a promocode.
const EACH: usize = 60;

/// Without a fault, each message travels once and is applied once, by one replica or the other.
///
/// What its own process has not sent within a second is taken over by another, and may then travel
/// twice. On a machine that is busy with other things a round may have many such; not every round has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_queues_and_say_and_apply_nothing_twice() {
    let mut platform = start().await;
    let logs = Logs::of(&mut platform);
    let tariff = platform.tariff("Month", 10_000).await;
    promocode_for_all(&platform).await;
    let users = buyers(&platform, 4).await;
    let broker = Broker::of(&platform);
    broker.listen().await;
    let (mut before, mut calm) = (Traffic::default(), false);
    for round in 1..=3 {
        buy_at_once(&users, &tariff).await;
        all_is_applied(&logs, round * users.len() * EACH).await;
        let now = Traffic::of(&broker).await;
        let (known, twice) = (now.known - before.known, now.twice() - before.twice());
        println!("round {round}: {known} messages, {twice} travelled twice");
        before = now;
        calm = twice <= known / 50;
        if calm {
            break;
        }
    }
    assert!(calm, "too many messages travel twice");
    for service in CONSUMERS {
        let applied = logs.applied(service);
        let ids: HashSet<_> = applied.iter().map(|applied| &applied.id).collect();
        assert_eq!(ids.len(), applied.len(), "{service} has applied something twice");
        let by = |replica| applied.iter().filter(|one| one.replica == replica).count();
        let shares: Vec<_> = (1..=REPLICAS).map(by).collect();
        println!("{service}: applied by its replicas {shares:?}");
        assert!(shares.iter().all(|share| *share > 0), "{service}: {shares:?}");
    }
    platform.finish().await;
}

async fn buy_at_once(users: &[User], tariff: &str) {
    let streams = users.iter().map(|user| async move {
        for number in 0..EACH {
            let promocode = (number % 2 == 0).then_some("ALL");
            let answer = user.buy(tariff, promocode).await;
            assert_eq!(answer.body["status"], "paid", "{:#}", answer.body);
        }
    });
    futures::future::join_all(streams).await;
}

/// Waits until everybody has applied what follows from so many purchases.
async fn all_is_applied(logs: &Logs, purchases: usize) {
    for (service, message_type, count) in [
        (ServiceName::Loyalty, HoldPromocodeV1::TYPE, purchases / 2),
        (ServiceName::Billing, PromocodeHeldV1::TYPE, purchases / 2),
        (ServiceName::Loyalty, PurchasePaidV1::TYPE, purchases),
        (ServiceName::Notifications, PurchasePaidV1::TYPE, purchases),
    ] {
        logs.eventually_applied_of(service, message_type, count).await;
    }
}

/// What was said, as the broker heard it.
#[derive(Default)]
struct Traffic {
    /// Messages, repeats left out.
    known: usize,
    /// The same with their repeats.
    came: usize,
}

impl Traffic {
    async fn of(broker: &Broker) -> Self {
        let heard = broker.heard().await;
        let ids: HashSet<_> = heard.iter().map(|envelope| envelope.id).collect();
        Self {
            known: ids.len(),
            came: heard.len(),
        }
    }

    fn twice(&self) -> usize {
        self.came - self.known
    }
}

/// What a purchase of this price with half off costs.
fn half(price: i64) -> serde_json::Value {
    rub(price / 2)
}

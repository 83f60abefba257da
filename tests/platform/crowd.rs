//! Many at once on one promocode.

use std::time::Instant;

use serde_json::json;
use shared::testing::eventually;

use crate::platform::{Platform, User, rub};

const BUYERS: usize = 200;
const USES: usize = 10;

/// What became of a buyer's first try.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Paid,
    NoMoney,
    Exhausted,
}

async fn try_to_buy(user: &User, tariff: &str, promocode: &str) -> Outcome {
    let answer = user.buy(tariff, Some(promocode)).await;
    match (answer.body["status"].as_str(), answer.body["code"].as_str()) {
        (Some("paid"), _) => Outcome::Paid,
        (_, Some("insufficient_funds")) => Outcome::NoMoney,
        (_, Some("promocode_refused")) => {
            assert_eq!(
                answer.body["reasons"][0]["code"], "uses_exhausted",
                "{:#}",
                answer.body
            );
            Outcome::Exhausted
        }
        // Looked up after it took longer than the request waits.
        (Some("failed"), _) if answer.body["failure_reason"] == "insufficient_funds" => Outcome::NoMoney,
        (Some("failed"), _) if answer.body["failure_reason"] == "promocode_refused" => Outcome::Exhausted,
        _ => panic!("{:#}", answer.body),
    }
}

async fn two_hundred_buyers_share_ten_uses(platform: &Platform) {
    let users = users(platform).await;
    they_share_ten_uses(platform, &users, "TEN").await;
}

/// 200 buyers, 10 uses, and one who is among the first ten and has no money: exactly ten pay, at once.
async fn they_share_ten_uses(platform: &Platform, users: &[User], promocode: &str) {
    let tariff = platform.tariff("Month", 10_000).await;
    let campaign = platform
        .campaign(json!({
            "name": "Ten",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": promocode, "max_uses": USES},
        }))
        .await;
    let before = money(users).await;

    // The one without money goes first, so that it is among the first ten: its hold is said
    // before anybody else's purchase begins.
    let poor = platform.user(&format!("poor-{promocode}"), 100).await;
    let mut tasks = tokio::task::JoinSet::new();
    let buying = |user: &User| {
        let (user, tariff, promocode) = (user.clone(), tariff.clone(), promocode.to_owned());
        async move { try_to_buy(&user, &tariff, &promocode).await }
    };
    tasks.spawn(buying(&poor));
    eventually("the first purchase has begun", || async {
        let page = poor.api.get("/billing/v1/purchases").await.expect(200);
        (!page["items"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    for user in users {
        tasks.spawn(buying(user));
    }
    let outcomes = tasks.join_all().await;
    let count = |outcome| outcomes.iter().filter(|seen| **seen == outcome).count();
    assert_eq!(count(Outcome::NoMoney), 1);
    assert_eq!(
        count(Outcome::Paid),
        USES,
        "nobody was refused for a use that came back"
    );
    for user in users.iter().take(5) {
        assert_eq!(buying(user).await, Outcome::Exhausted);
    }
    eventually("exactly ten redemptions are confirmed", || async {
        (platform.redemptions(&campaign, "confirmed").await == USES).then_some(())
    })
    .await;
    assert_eq!(platform.redemptions(&campaign, "held").await, 0);
    let charged = before - money(users).await;
    assert_eq!(charged, 10 * 5_000, "exactly ten were charged");
    assert_eq!(poor.balance().await, 100);
}

/// What all of them have together.
async fn money(users: &[User]) -> i64 {
    let mut sum = 0;
    for user in users {
        sum += user.balance().await;
    }
    sum
}

/// Registered a few at a time: hashing passwords is slow on purpose.
async fn users(platform: &Platform) -> Vec<User> {
    let mut users = Vec::with_capacity(BUYERS);
    for start in (1..BUYERS).step_by(4) {
        let batch = (start..(start + 4).min(BUYERS)).map(|number| async move {
            let user = platform.user(&format!("buyer{number}"), 0).await;
            assert_eq!(user.top_up(20_000).await.expect(200)["balance"], rub(20_000));
            user
        });
        users.extend(futures::future::join_all(batch).await);
    }
    users
}

crate::in_both_modes!(two_hundred_buyers_share_ten_uses);

mod full {
    use super::*;

    /// Over two processes of each service, three times.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_hundred_buyers_share_ten_uses_over_replicas() {
        let platform = Platform::distributed_with(2, &[]).await;
        let users = users(&platform).await;
        for promocode in ["TEN-ONCE", "TEN-TWICE", "TEN-THRICE"] {
            let began = Instant::now();
            they_share_ten_uses(&platform, &users, promocode).await;
            println!("{promocode}: {:?}", began.elapsed());
        }
        platform.finish().await;
    }
}

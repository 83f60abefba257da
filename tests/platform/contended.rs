//! Promocodes with fewer uses than buyers, some of whom can't pay.

use serde_json::{Value, json};
use shared::testing::eventually;

use crate::platform::{Platform, User, rub};

const ROUNDS: usize = 20;

/// Half off a month for 100.00, so often.
async fn campaign(platform: &Platform, code: &str, limits: &Value) -> Value {
    let mut body = json!({"name": code, "discount": {"type": "percent", "percent": "50"}});
    let members = limits.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(members);
    platform.campaign(body).await
}

/// How the purchase ended: `paid`, or why it failed.
async fn buy(user: &User, tariff: &str, code: &str) -> String {
    let answer = user.buy(tariff, Some(code)).await.body;
    // A problem, or the purchase itself where it was looked up.
    let reasons = [
        &answer["reasons"][0]["code"],
        &answer["refusal_reasons"][0]["code"],
    ];
    let others = [&answer["failure_reason"], &answer["code"], &answer["status"]];
    let ended = reasons.into_iter().chain(others).find_map(Value::as_str);
    ended.unwrap_or_else(|| panic!("{answer:#}")).to_owned()
}

async fn is_confirmed(platform: &Platform, campaign: &Value, times: usize) {
    eventually("the uses are confirmed", || async {
        (platform.redemptions(campaign, "confirmed").await == times).then_some(())
    })
    .await;
    assert_eq!(platform.redemptions(campaign, "held").await, 0);
}

async fn five_who_can_pay_among_forty(platform: &Platform, tariff: &str) {
    let five = campaign(
        platform,
        "FIVE",
        &json!({"promocode": {"code": "FIVE", "max_uses": 5}}),
    )
    .await;
    let mut users = Vec::new();
    for number in 0..40 {
        let balance = if number % 8 == 7 { 5_000 } else { 4_999 };
        users.push((
            platform.user(&format!("one-of-forty-{number}"), balance).await,
            balance,
        ));
    }
    let buying = users.iter().map(|(user, balance)| async move {
        let ended = buy(user, tariff, "FIVE").await;
        (ended, *balance)
    });
    for (ended, balance) in futures::future::join_all(buying).await {
        let expected: &[_] = match balance {
            5_000 => &["paid"],
            _ => &["insufficient_funds", "uses_exhausted"],
        };
        assert!(expected.contains(&&*ended), "{ended} with {balance}");
    }
    is_confirmed(platform, &five, 5).await;
}

async fn an_empty_wallet_in_a_loop(platform: &Platform, tariff: &str) {
    let poor = platform.user("empty", 0).await;
    let rich = platform
        .user("full", 5_000 * i64::try_from(ROUNDS).unwrap())
        .await;
    for round in 0..ROUNDS {
        let code = format!("ONCE-{round}");
        let once = campaign(
            platform,
            &code,
            &json!({"promocode": {"code": code, "max_uses": 1}}),
        )
        .await;
        let stop = std::sync::atomic::AtomicBool::new(false);
        let in_a_loop = async {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let ended = buy(&poor, tariff, &code).await;
                assert!(
                    ["insufficient_funds", "uses_exhausted", "too_many_attempts"].contains(&&*ended),
                    "{ended}"
                );
            }
        };
        let buys = async {
            let ended = buy(&rich, tariff, &code).await;
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            ended
        };
        let ((), ended) = tokio::join!(in_a_loop, buys);
        assert_eq!(ended, "paid", "{round}");
        is_confirmed(platform, &once, 1).await;
    }
}

async fn two_tabs(platform: &Platform, tariff: &str) {
    let each = json!({"max_per_user": 1, "promocode": {"code": "ONE-EACH"}});
    let each = campaign(platform, "ONE-EACH", &each).await;
    for (number, balance) in [5_000, 50_000].into_iter().enumerate() {
        let user = platform.user(&format!("two-tabs-{number}"), balance).await;
        let (one, other) = tokio::join!(buy(&user, tariff, "ONE-EACH"), buy(&user, tariff, "ONE-EACH"));
        let other_end = if one == "paid" { &other } else { &one };
        assert!(one == "paid" || other == "paid", "{one}, {other}");
        assert!(
            ["user_limit_reached", "insufficient_funds"].contains(&other_end.as_str()),
            "{one}, {other}"
        );
        assert_eq!(user.balance().await, balance - 5_000);
    }
    is_confirmed(platform, &each, 2).await;
}

async fn buyers_with_money_get_the_uses(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    five_who_can_pay_among_forty(platform, &tariff).await;
    an_empty_wallet_in_a_loop(platform, &tariff).await;
    two_tabs(platform, &tariff).await;
    expected_price(platform, &tariff).await;
}

async fn expected_price(platform: &Platform, tariff: &str) {
    let code = json!({"promocode": {"code": "GUARDED", "max_uses": 1}});
    let guarded = campaign(platform, "GUARDED", &code).await;
    let user = platform.user("careful", 5_000).await;
    let buy_for = async |price: i64| {
        let body = json!({"tariff_id": tariff, "promocode": "GUARDED", "expected_price": rub(price)});
        user.api.post("/billing/v1/purchases", &body).await
    };
    let problem = buy_for(4_000).await.expect_problem(409, "price_changed");
    assert_eq!(problem["price"], rub(5_000));
    assert_eq!(buy_for(5_000).await.expect(201)["charged"], rub(5_000));
    is_confirmed(platform, &guarded, 1).await;
}

crate::in_both_modes!(buyers_with_money_get_the_uses);

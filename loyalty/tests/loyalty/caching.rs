//! What need not be read again: dropped by events, and never trusted for a decision.

use serde_json::{Value, json};
use shared::{
    contracts::{
        Permission, RefusalCode, TariffChangedV1, TariffStatus, UserBlockedV1, UserRegisteredV1, UserStatus,
        UserUnblockedV1,
    },
    ids::{TariffId, UserId},
    testing::eventually,
};

use crate::{Loyalty, codes, kopecks, on_both_databases, roubles, ten_percent_off};

/// Changes a row behind the service's back.
async fn behind_its_back(loyalty: &Loyalty, change: &str) {
    let changed = loyalty.rows(&format!("UPDATE {change} RETURNING 1 AS one")).await;
    assert!(!changed.is_empty(), "{change}");
}

async fn list_price(loyalty: &Loyalty, user: UserId, code: &str, tariff: TariffId) -> Value {
    loyalty.validate(user, code, tariff).await.expect(200)["list_price"].clone()
}

async fn discount(loyalty: &Loyalty, code: &str, tariff: TariffId) -> Value {
    let user = loyalty.service.new_user();
    loyalty.validate(user, code, tariff).await.expect(200)["discount"].clone()
}

/// Validates until it is answered from the cache, which begins a moment after the start.
async fn until_known(loyalty: &Loyalty, user: UserId, code: &str, tariff: TariffId) {
    eventually("the tariff is known", || async {
        let known = list_price(loyalty, user, code, tariff).await;
        behind_its_back(loyalty, "tariffs SET price = price + 1").await;
        let is_known = list_price(loyalty, user, code, tariff).await == known;
        behind_its_back(loyalty, "tariffs SET price = price - 1").await;
        is_known.then_some(())
    })
    .await;
}

fn tariff_state(tariff_id: TariffId, version: i64, price: i64, status: TariffStatus) -> TariffChangedV1 {
    TariffChangedV1 {
        tariff_id,
        version,
        name: "Standard".to_owned(),
        price: roubles(price),
        period: "P1M".to_owned(),
        status,
    }
}

async fn a_dry_run_by_remembered_terms_needs_no_count_that_a_change_has_ended(loyalty: Loyalty) {
    let terms = crate::with(ten_percent_off(), &json!({"max_per_user": 2}));
    loyalty.campaign(&terms, "CODE", None).await;
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    until_known(&loyalty, user, "CODE", tariff).await;
    let hold = loyalty.hold(user, "CODE");
    loyalty.ask(&hold).await.held();
    loyalty.service.peers.say(&loyalty.failed(&hold)).await;
    assert_eq!(loyalty.rows("SELECT 1 AS one FROM returned_uses").await.len(), 1);
    // As a limit that another replica has taken away and added again leaves it.
    let ended = loyalty
        .rows("DELETE FROM counters WHERE scope = 'user' RETURNING 1 AS one")
        .await;
    assert_eq!(ended.len(), 1);
    loyalty.validate(user, "CODE", tariff).await.expect(200);
}

/// An answer from the cache would come sooner, and tell that somebody has used the promocode.
async fn a_promocode_and_its_terms_are_never_remembered(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    until_known(&loyalty, user, "CODE", tariff).await;
    let half = r#"{"type":"percent","percent":"50"}"#;
    behind_its_back(&loyalty, &format!("campaigns SET discount = '{half}'")).await;
    assert_eq!(discount(&loyalty, "CODE", tariff).await, kopecks(5_000));
    behind_its_back(&loyalty, "promocodes SET disabled = true").await;
    let refused = loyalty.validate(user, "CODE", tariff).await;
    let refused = refused.expect_problem(422, "promocode_refused");
    assert_eq!(codes(&refused), ["promocode_disabled"]);
    let refused = loyalty.ask(&loyalty.hold(user, "CODE")).await.refused();
    assert_eq!(refused, [RefusalCode::PromocodeDisabled]);
}

async fn what_is_unknown_is_not_remembered(loyalty: Loyalty) {
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    for _ in 0..2 {
        let unknown = loyalty.validate(user, "CODE", tariff).await;
        unknown.expect_problem(422, "promocode_refused");
    }
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    loyalty.validate(user, "CODE", tariff).await.expect(200);
}

async fn a_changed_tariff_is_priced_at_once(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    until_known(&loyalty, user, "CODE", tariff).await;
    let peers = &loyalty.service.peers;
    for version in 2..20 {
        let changed = tariff_state(tariff, version, version, TariffStatus::Active);
        peers.say(&changed).await;
        // Late, under another message id.
        peers
            .say(&tariff_state(tariff, 1, 100, TariffStatus::Active))
            .await;
        let price = list_price(&loyalty, user, "CODE", tariff).await;
        assert_eq!(price, kopecks(version * 100));
    }
    let archived = tariff_state(tariff, 20, 1, TariffStatus::Archived);
    peers.say(&archived).await;
    let answer = loyalty.validate(user, "CODE", tariff).await;
    answer.expect_problem(409, "tariff_not_sold");
}

async fn a_blocked_user_is_refused_at_once_though_known(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    let (peers, api) = (&loyalty.service.peers, loyalty.service.api_of(user));
    peers
        .say(&UserRegisteredV1(loyalty.user_state(user, 1, UserStatus::Active)))
        .await;
    until_known(&loyalty, user, "CODE", tariff).await;
    for version in (2..20).step_by(2) {
        let state = |version, status| loyalty.user_state(user, version, status);
        api.get("/loyalty/v1/redemptions").await.expect(200);
        peers
            .say(&UserBlockedV1(state(version, UserStatus::Blocked)))
            .await;
        let listed = api.get("/loyalty/v1/redemptions").await;
        listed.expect_problem(403, "user_blocked");
        let asked = loyalty.validate(user, "CODE", tariff).await;
        asked.expect_problem(403, "user_blocked");
        peers
            .say(&UserUnblockedV1(state(version + 1, UserStatus::Active)))
            .await;
        loyalty.validate(user, "CODE", tariff).await.expect(200);
    }
}

async fn whoever_changes_something_is_looked_up_in_the_database(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    let active = loyalty.user_state(user, 1, UserStatus::Active);
    loyalty.service.peers.say(&UserRegisteredV1(active)).await;
    until_known(&loyalty, user, "CODE", tariff).await;
    behind_its_back(&loyalty, "users SET status = 'blocked'").await;

    let token = loyalty.service.token(user, Permission::ALL);
    let api = loyalty.service.api.with_token(token);
    api.get("/loyalty/v1/campaigns").await.expect(200);
    let dry_run = json!({"promocode": "CODE", "tariff_id": tariff});
    api.post("/loyalty/v1/promocodes/validate", &dry_run)
        .await
        .expect(200);
    let change = api.post("/loyalty/v1/campaigns", &ten_percent_off()).await;
    change.expect_problem(403, "user_blocked");
}

on_both_databases!(
    a_dry_run_by_remembered_terms_needs_no_count_that_a_change_has_ended,
    a_promocode_and_its_terms_are_never_remembered,
    what_is_unknown_is_not_remembered,
    a_changed_tariff_is_priced_at_once,
    a_blocked_user_is_refused_at_once_though_known,
    whoever_changes_something_is_looked_up_in_the_database,
);

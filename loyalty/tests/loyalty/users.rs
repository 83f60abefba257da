//! Blocked and deleted users.

use serde_json::json;
use shared::contracts::{
    RefusalCode, UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserStatus, UserUnblockedV1,
};

use crate::{Loyalty, on_both_databases, roubles, ten_percent_off};

async fn a_blocked_user_is_refused_everywhere_and_an_older_status_changes_nothing(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let peers = &loyalty.service.peers;
    // Nothing is known of them yet, which is no refusal.
    loyalty.validate(user, "CODE", tariff).await.expect(200);

    let active = loyalty.user_state(user, 1, UserStatus::Active);
    let blocked = loyalty.user_state(user, 2, UserStatus::Blocked);
    peers.say(&UserRegisteredV1(active.clone())).await;
    loyalty.ask(&loyalty.hold(user, "CODE")).await.held();
    peers.say(&UserBlockedV1(blocked)).await;
    for _ in 0..2 {
        loyalty
            .validate(user, "CODE", tariff)
            .await
            .expect_problem(403, "user_blocked");
        let api = loyalty.service.api_of(user);
        api.get("/loyalty/v1/redemptions")
            .await
            .expect_problem(403, "user_blocked");
        let hold = loyalty.hold(user, "CODE");
        assert_eq!(loyalty.ask(&hold).await.refused(), [RefusalCode::UserBlocked]);
        // Late and again, under new message ids.
        peers.say(&UserRegisteredV1(active.clone())).await;
        peers.say(&UserUnblockedV1(active.clone())).await;
    }
    assert_eq!(loyalty.used("promocode").await, 1);

    peers
        .say(&UserUnblockedV1(loyalty.user_state(user, 3, UserStatus::Active)))
        .await;
    loyalty.validate(user, "CODE", tariff).await.expect(200);
    loyalty.ask(&loyalty.hold(user, "CODE")).await.held();

    peers
        .say(&UserDeletedV1(loyalty.user_state(user, 4, UserStatus::Deleted)))
        .await;
    loyalty
        .validate(user, "CODE", tariff)
        .await
        .expect_problem(401, "invalid_token");
    assert_eq!(
        loyalty.ask(&loyalty.hold(user, "CODE")).await.refused(),
        [RefusalCode::UserBlocked]
    );
}

async fn an_administrator_who_is_blocked_makes_no_campaigns(loyalty: Loyalty) {
    let user = loyalty.service.new_user();
    let token = loyalty.service.token(user, shared::contracts::Permission::ALL);
    let admin = loyalty.service.api.with_token(token);
    admin
        .post("/loyalty/v1/campaigns", &ten_percent_off())
        .await
        .expect(201);
    loyalty
        .service
        .peers
        .say(&UserBlockedV1(loyalty.user_state(user, 2, UserStatus::Blocked)))
        .await;
    admin
        .post("/loyalty/v1/campaigns", &ten_percent_off())
        .await
        .expect_problem(403, "user_blocked");
    for list in ["campaigns", "redemptions", "refusals"] {
        admin
            .get(&format!("/loyalty/v1/{list}"))
            .await
            .expect_problem(403, "user_blocked");
    }
}

async fn a_block_that_comes_with_the_hold_is_known_to_it(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let user = loyalty.service.new_user();
    let hold = loyalty.hold(user, "CODE");
    let peers = &loyalty.service.peers;
    let block = UserBlockedV1(loyalty.user_state(user, 2, UserStatus::Blocked));
    let envelopes = [
        peers.seal_all(std::slice::from_ref(&hold)),
        peers.seal_all(&[block]),
    ]
    .concat();
    peers.deliver(&envelopes).await;
    assert_eq!(
        loyalty.answer(hold.purchase_id).await.refused(),
        [RefusalCode::UserBlocked]
    );
    let kept = loyalty
        .admin
        .get(&format!("/loyalty/v1/refusals?user_id={user}"))
        .await
        .expect(200);
    assert_eq!(kept["items"][0]["reasons"][0]["found"], json!("blocked"));
}

on_both_databases!(
    a_blocked_user_is_refused_everywhere_and_an_older_status_changes_nothing,
    an_administrator_who_is_blocked_makes_no_campaigns,
    a_block_that_comes_with_the_hold_is_known_to_it,
);

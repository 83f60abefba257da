//! Blocked and deleted users.

use shared::contracts::{UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserStatus, UserUnblockedV1};

use crate::{Loyalty, on_both_databases, roubles, ten_percent_off};

async fn a_blocked_user_can_ask_nothing_and_an_older_status_changes_nothing(loyalty: Loyalty) {
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

/// Billing judges when it charges, and what is known here may be older than an unblocking.
async fn a_hold_is_decided_whatever_is_known_here_of_its_user(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let peers = &loyalty.service.peers;
    for (version, status) in [(2, UserStatus::Blocked), (3, UserStatus::Deleted)] {
        let user = loyalty.service.new_user();
        let state = loyalty.user_state(user, version, status);
        match status {
            UserStatus::Blocked => peers.say(&UserBlockedV1(state)).await,
            _ => peers.say(&UserDeletedV1(state)).await,
        }
        loyalty.ask(&loyalty.hold(user, "CODE")).await.held();
    }
    assert_eq!(loyalty.used("promocode").await, 2);
}

on_both_databases!(
    a_blocked_user_can_ask_nothing_and_an_older_status_changes_nothing,
    an_administrator_who_is_blocked_makes_no_campaigns,
    a_hold_is_decided_whatever_is_known_here_of_its_user,
);

//! A blocked user can do nothing in any service, whatever token is still valid.

use serde_json::json;
use shared::testing::{Answer, eventually};

use crate::platform::{Platform, User, log_in, rub};

const EVERYWHERE: [&str; 4] = [
    "/auth/v1/me",
    "/loyalty/v1/redemptions",
    "/billing/v1/balance",
    "/notifications/v1/letters",
];

fn is_refused(answer: &Answer) -> bool {
    answer.status.as_u16() == 403 && answer.body["code"] == "user_blocked"
}

async fn is_refused_everywhere(user: &User) {
    for path in EVERYWHERE {
        eventually(&format!("{path} refuses a blocked user"), || async {
            is_refused(&user.api.get(path).await).then_some(())
        })
        .await;
    }
}

async fn a_block_reaches_every_service_and_can_be_lifted(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    let mut user = platform.user("anna", 100_000).await;
    for path in EVERYWHERE {
        user.api.get(path).await.expect(200);
    }
    platform
        .admin
        .post(&format!("/auth/v1/users/{}/block", user.id), &json!({}))
        .await
        .expect(200);
    assert!(
        is_refused(&user.api.get("/auth/v1/me").await),
        "auth itself knows at once"
    );
    is_refused_everywhere(&user).await;
    assert!(is_refused(&user.buy(&tariff, None).await));
    assert!(is_refused(&user.top_up(100).await));
    let validation = json!({"promocode": "ANY", "tariff_id": tariff});
    assert!(is_refused(
        &user
            .api
            .post("/loyalty/v1/promocodes/validate", &validation)
            .await
    ));

    platform
        .admin
        .post(&format!("/auth/v1/users/{}/unblock", user.id), &json!({}))
        .await
        .expect(200);
    // The block has ended the sessions from before.
    user.api = log_in(&platform.api, &platform.email("anna")).await;
    for path in EVERYWHERE {
        eventually(&format!("{path} serves the user again"), || async {
            (user.api.get(path).await.status.as_u16() == 200).then_some(())
        })
        .await;
    }
    assert_eq!(user.buy(&tariff, None).await.expect(201)["charged"], rub(10_000));
}

crate::on_shared_platforms!(a_block_reaches_every_service_and_can_be_lifted);

//! Every message of a story comes again: repeated, under new ids, and in another order.

use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{Envelope, Locale, ServiceName, UserState, UserStatus, UserUpdatedV1},
    ids::{MessageId, UserId},
    testing::eventually,
    users,
};

use crate::{
    broker::Broker,
    platform::{Platform, User, log_in, rub},
};

/// Waits until the services have taken everything that was said, and what followed from it:
/// queues keep their order, so what was said before a stranger signed up is taken when the
/// stranger is known. What follows is said later, so several strangers come one by one.
async fn all_is_taken(broker: &Broker, platform: &Platform) {
    for _ in 0..3 {
        let now = SystemClock.now();
        let stranger = UserState {
            user_id: UserId::new(now),
            version: 1,
            status: UserStatus::Active,
            locale: Locale::En,
            time_zone: None,
            registered_at: now,
        };
        let message = UserUpdatedV1(stranger.clone());
        broker
            .say(&Envelope::seal(MessageId::new(now), "test", now, None, &message).unwrap())
            .await;
        for service in [
            ServiceName::Loyalty,
            ServiceName::Billing,
            ServiceName::Notifications,
        ] {
            let db = platform.database(service).await;
            eventually(&format!("{service} has taken all"), || async {
                users::find(db.reader(), stranger.user_id).await.unwrap()
            })
            .await;
        }
    }
}

/// All that the story left behind, as its people and the administrator see it.
async fn picture(platform: &Platform, users: &[User]) -> Value {
    let mut seen = Vec::new();
    for user in users {
        for path in [
            "/billing/v1/balance",
            "/billing/v1/transfers?limit=200",
            "/billing/v1/purchases?limit=200",
            "/billing/v1/subscriptions?limit=200",
            "/loyalty/v1/redemptions?limit=200",
            "/notifications/v1/letters?limit=200",
        ] {
            seen.push(user.api.get(path).await.expect(200));
        }
    }
    for path in [
        "/loyalty/v1/campaigns?limit=200",
        "/loyalty/v1/refusals?limit=200",
        "/billing/v1/tariffs?limit=200",
    ] {
        seen.push(platform.admin.get(path).await.expect(200));
    }
    json!(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_late_and_reordered_messages_change_nothing() {
    let platform = Platform::distributed().await;
    let broker = Broker::of(&platform);
    broker.listen().await;
    let tariff = platform.tariff("Month", 10_000).await;
    let campaign = platform
        .campaign(json!({
            "name": "Two",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "TWO", "max_uses": 2},
        }))
        .await;
    let mut users = [
        platform.user("anna", 100_000).await,
        platform.user("boris", 100_000).await,
        platform.user("poor", 100).await,
    ];
    assert_eq!(
        users[0].buy(&tariff, Some("TWO")).await.body["charged"],
        rub(5_000)
    );
    users[2]
        .buy(&tariff, Some("TWO"))
        .await
        .expect_problem(402, "insufficient_funds");
    eventually("the use is free again", || async {
        (users[1].buy(&tariff, Some("TWO")).await.body["status"] == "paid").then_some(())
    })
    .await;
    users[2]
        .buy(&tariff, Some("TWO"))
        .await
        .expect_problem(422, "promocode_refused");
    users[0].buy(&tariff, None).await.expect(201);
    users[0]
        .api
        .post("/billing/v1/balance/withdraw", &rub(1_000))
        .await
        .expect(200);
    users[0]
        .api
        .post("/billing/v1/balance/withdraw", &rub(90_000_000))
        .await
        .expect_problem(402, "insufficient_funds");
    platform
        .admin
        .post(&format!("/auth/v1/users/{}/block", users[2].id), &json!({}))
        .await
        .expect(200);
    platform
        .admin
        .post(&format!("/auth/v1/users/{}/unblock", users[2].id), &json!({}))
        .await
        .expect(200);
    // The block has ended the session from before.
    users[2].api = log_in(&platform.api, "poor@mail.example").await;
    for (user, letters) in [(&users[0], 6)] {
        user.letters(letters).await;
    }
    eventually("the redemptions are settled", || async {
        (platform.redemptions(&campaign, "held").await == 0).then_some(())
    })
    .await;
    eventually("an unblocked user is served everywhere", || async {
        let answer = users[2].api.get("/notifications/v1/letters").await;
        (answer.status.as_u16() == 200).then_some(())
    })
    .await;
    all_is_taken(&broker, &platform).await;
    let before = picture(&platform, &users).await;

    let heard = broker.heard().await;
    let kinds: std::collections::BTreeSet<_> = heard
        .iter()
        .map(|envelope| envelope.message_type.clone())
        .collect();
    assert!(
        kinds.len() >= 10,
        "the story has nearly every message: {kinds:#?}"
    );
    // The very same messages, in the opposite order.
    for envelope in heard.iter().rev() {
        broker.say(envelope).await;
    }
    // The same content under new ids: forward, then backward, each twice.
    let fresh = |envelope: &Envelope| Envelope {
        id: MessageId::new(SystemClock.now()),
        ..envelope.clone()
    };
    for envelope in heard.iter().chain(heard.iter().rev()) {
        broker.say(&fresh(envelope)).await;
        broker.say(&fresh(envelope)).await;
    }
    all_is_taken(&broker, &platform).await;
    let after = picture(&platform, &users).await;
    assert_eq!(before, after);
    platform.finish().await;
}

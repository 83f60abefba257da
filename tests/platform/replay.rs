//! Every message of a story comes again: repeated, under new ids, and in another order.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{
        Envelope, Exchange, Locale, MESSAGES, ServiceName, UserState, UserStatus, UserUpdatedV1, route_of,
    },
    ids::{MessageId, UserId},
    testing::{Api, eventually, server_variable},
    users,
};

use crate::platform::{Platform, User, rub};

/// Hears everything on a virtual host, and says it again.
struct Spy {
    api: Api,
    host: String,
}

impl Spy {
    async fn start(platform: &Platform) -> Self {
        let spy = Self {
            api: Api::new(server_variable("TEST_RABBIT_API")),
            host: platform.virtual_host().expect("a distributed platform"),
        };
        let queue = format!("/api/queues/{}/spy", spy.host);
        let made = spy
            .api
            .request(Method::PUT, &queue)
            .json(&json!({"durable": true}))
            .send()
            .await
            .unwrap();
        assert!(made.status().is_success());
        for message in MESSAGES {
            let path = format!("/api/bindings/{}/e/{}/q/spy", spy.host, message.exchange.as_str());
            let bound = spy
                .api
                .post(&path, &json!({"routing_key": message.routing_key}))
                .await;
            assert!(bound.status.is_success(), "{bound:?}");
        }
        spy
    }

    async fn heard(&self) -> Vec<Envelope> {
        let body = json!({"count": 10_000, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let answer = self
            .api
            .post(&format!("/api/queues/{}/spy/get", self.host), &body)
            .await;
        let messages = answer.body.as_array().cloned().unwrap_or_default();
        messages
            .iter()
            .map(|message| serde_json::from_str(message["payload"].as_str().unwrap()).unwrap())
            .collect()
    }

    async fn say(&self, envelope: &Envelope) {
        let (exchange, key) = route_of(&envelope.message_type).unwrap();
        let path = format!(
            "/api/exchanges/{}/{}/publish",
            self.host,
            Exchange::as_str(exchange)
        );
        let body = json!({
            "properties": {"delivery_mode": 2, "content_type": "application/cloudevents+json"},
            "routing_key": key,
            "payload": serde_json::to_string(envelope).unwrap(),
            "payload_encoding": "string",
        });
        let answer = self.api.post(&path, &body).await;
        assert_eq!(answer.body["routed"], true, "{answer:?}");
    }

    /// Waits until the services have taken everything that was said, and what followed from it:
    /// queues keep their order, so what was said before a stranger signed up is taken when the
    /// stranger is known. What follows is said later, so several strangers come one by one.
    async fn all_is_taken(&self, platform: &Platform) {
        for _ in 0..3 {
            let now = SystemClock.now();
            let stranger = UserState {
                user_id: UserId::new(now),
                version: 1,
                status: UserStatus::Active,
                locale: Locale::En,
                registered_at: now,
            };
            let message = UserUpdatedV1(stranger.clone());
            self.say(&Envelope::seal(MessageId::new(now), "test", now, None, &message).unwrap())
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
    let spy = Spy::start(&platform).await;
    let tariff = platform.tariff("Month", 10_000).await;
    let campaign = platform
        .campaign(json!({
            "name": "Two",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "TWO", "max_uses": 2},
        }))
        .await;
    let users = [
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
    spy.all_is_taken(&platform).await;
    let before = picture(&platform, &users).await;

    let heard = spy.heard().await;
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
        spy.say(envelope).await;
    }
    // The same content under new ids: forward, then backward, each twice.
    let fresh = |envelope: &Envelope| Envelope {
        id: MessageId::new(SystemClock.now()),
        ..envelope.clone()
    };
    for envelope in heard.iter().chain(heard.iter().rev()) {
        spy.say(&fresh(envelope)).await;
        spy.say(&fresh(envelope)).await;
    }
    spy.all_is_taken(&platform).await;
    let after = picture(&platform, &users).await;
    assert_eq!(before, after);
    platform.finish().await;
}

//! The broker of a distributed platform, by its management API.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    contracts::{Envelope, MESSAGES, route_of},
    testing::{Api, server_variable},
};

use crate::platform::Platform;

pub struct Broker {
    api: Api,
    host: String,
}

impl Broker {
    pub fn of(platform: &Platform) -> Self {
        Self {
            api: Api::new(server_variable("TEST_RABBIT_API")),
            host: platform.virtual_host().expect("a distributed platform"),
        }
    }

    /// Says a message as some service would.
    pub async fn say(&self, envelope: &Envelope) {
        let (exchange, key) = route_of(&envelope.message_type).unwrap();
        let payload = serde_json::to_string(envelope).unwrap();
        self.publish(exchange.as_str(), key, &payload).await;
    }

    /// Publishes anything anywhere.
    pub async fn publish(&self, exchange: &str, key: &str, payload: &str) {
        let body = json!({
            "properties": {"delivery_mode": 2, "content_type": "application/cloudevents+json"},
            "routing_key": key,
            "payload": payload,
            "payload_encoding": "string",
        });
        let path = format!("/api/exchanges/{}/{exchange}/publish", self.host);
        let answer = self.api.post(&path, &body).await;
        assert_eq!(answer.body["routed"], true, "{answer:?}");
    }

    /// Hears everything from now on, beside the services.
    pub async fn listen(&self) {
        let queue = format!("/api/queues/{}/spy", self.host);
        let made = self
            .api
            .request(Method::PUT, &queue)
            .json(&json!({"durable": true}))
            .send()
            .await
            .unwrap();
        assert!(made.status().is_success());
        for message in MESSAGES {
            let path = format!(
                "/api/bindings/{}/e/{}/q/spy",
                self.host,
                message.exchange.as_str()
            );
            let bound = self
                .api
                .post(&path, &json!({"routing_key": message.routing_key}))
                .await;
            assert!(bound.status.is_success(), "{bound:?}");
        }
    }

    /// All that it has heard.
    pub async fn heard(&self) -> Vec<Envelope> {
        let payload = |message: &Value| serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
        self.messages_in("spy").await.iter().map(payload).collect()
    }

    /// What is in a queue, with all that comes with it; it stays there.
    pub async fn messages_in(&self, queue: &str) -> Vec<Value> {
        let body = json!({"count": 10_000, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let path = format!("/api/queues/{}/{queue}/get", self.host);
        let answer = self.api.post(&path, &body).await;
        answer.body.as_array().cloned().unwrap_or_default()
    }

    /// The names of all queues.
    pub async fn queues(&self) -> Vec<String> {
        let answer = self
            .api
            .get(&format!("/api/queues/{}", self.host))
            .await
            .expect(200);
        let name = |queue: &Value| queue["name"].as_str().unwrap().to_owned();
        answer.as_array().unwrap().iter().map(name).collect()
    }
}

//! What only the RabbitMQ bus promises while its broker is well.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use shared::{
    bus::{self, Bus, BusError, Outgoing, Side},
    contracts::{HoldPromocodeV1, Message, PurchasePaidV1, QUEUES, UserRegisteredV1, WAKE_UPS},
};
use tokio::time::sleep;

use crate::{
    broker::with_vhost,
    promises::{confirmed, consumer, ids, message, messages, publish, queue, soon, take},
};

/// Publishes until all is confirmed, as the outbox does.
pub async fn publish_until_confirmed(bus: &Arc<dyn Bus>, batch: &[Outgoing]) {
    let mut left = batch.to_vec();
    while !left.is_empty() {
        let results = soon(bus.publish(&left)).await;
        let mut result = results.iter();
        left.retain(|_| result.next().unwrap().is_err());
        if !left.is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Takes until every one of `wanted` has come; more than once is allowed.
pub async fn take_all(bus: &Arc<dyn Bus>, name: &str, wanted: &[String]) {
    let mut consumer = consumer(bus, name).await;
    let mut missing: BTreeSet<_> = wanted.iter().cloned().collect();
    while !missing.is_empty() {
        for body in take(&mut consumer, 1).await {
            missing.remove(&body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_confirmed_before_anybody_consumes_and_is_kept_for_them() {
    with_vhost(async |vhost| {
        let batch = messages::<HoldPromocodeV1>(3);
        let bus = vhost.bus();
        confirmed(publish(&bus, &batch)).await;
        drop(bus);
        assert_eq!(
            take(&mut consumer(&vhost.bus(), "loyalty.v1").await, 3).await,
            ids(&batch)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_survives_its_broker_and_says_what_it_is() {
    with_vhost(async |vhost| {
        let batch = messages::<HoldPromocodeV1>(1);
        confirmed(publish(&vhost.bus(), &batch)).await;
        let message = vhost.get_message("loyalty.v1", "ack_requeue_false").await;
        assert_eq!(message["properties"]["delivery_mode"], 2);
        assert_eq!(
            message["properties"]["content_type"],
            "application/cloudevents+json"
        );
        assert_eq!(message["properties"]["message_id"], batch[0].id.to_string());
        assert_eq!(message["payload"], batch[0].id.to_string());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_queue_dead_letters_safely_and_never_drops() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        bus.declare().await.unwrap();
        bus.declare().await.unwrap();
        for queue in QUEUES {
            let main = vhost.queue(queue.name).await;
            assert_eq!(main["durable"], true);
            let arguments = &main["arguments"];
            assert_eq!(arguments["x-queue-type"], "quorum");
            assert!(arguments["x-delivery-limit"].as_i64().unwrap() > 20);
            assert_eq!(arguments["x-dead-letter-exchange"], "kopeck.dead");
            assert_eq!(arguments["x-dead-letter-routing-key"], queue.name);
            assert_eq!(arguments["x-dead-letter-strategy"], "at-least-once");
            assert_eq!(arguments["x-overflow"], "reject-publish");
            let dead = vhost.queue(&format!("{}.dead", queue.name)).await;
            assert_eq!(dead["arguments"]["x-queue-type"], "quorum");
            assert!(dead["arguments"]["x-delivery-limit"].as_i64().unwrap() >= 1_000_000);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_message_lies_in_the_dead_letter_queue() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        let batch = messages::<HoldPromocodeV1>(1);
        confirmed(publish(&bus, &batch)).await;
        vhost.get_message("loyalty.v1", "reject_requeue_false").await;
        let mut dead = bus.consume(queue("loyalty.v1"), Side::Dead).await.unwrap();
        assert_eq!(take(&mut dead, 1).await, ids(&batch));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_what_no_queue_took_is_said_again_at_once() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        bus.declare().await.unwrap();
        let (exchange, key) = (HoldPromocodeV1::EXCHANGE.as_str(), HoldPromocodeV1::ROUTING_KEY);
        let binding = format!("bindings/{}/e/{exchange}/q/loyalty.v1/{key}", vhost.name);
        vhost.delete(&binding).await;

        // Large mixed batches, several at once, so that returns and confirms cross: lapin hands a
        // return to whichever confirm comes next.
        let batches: Vec<Vec<_>> = (0..8)
            .map(|_| {
                (0..500)
                    .flat_map(|_| [message::<PurchasePaidV1>(), message::<HoldPromocodeV1>()])
                    .collect()
            })
            .collect();
        let results = join_all(batches.iter().map(|batch| bus.publish(batch))).await;
        for result in results.into_iter().flatten() {
            result.unwrap();
        }

        let all: BTreeSet<_> = batches.iter().flat_map(|batch| ids(batch)).collect();
        let mut consumer = consumer(&bus, "loyalty.v1").await;
        let mut came = BTreeSet::new();
        while came.len() < all.len() {
            came.extend(take(&mut consumer, 1).await);
        }
        assert!(came == all);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_not_taken() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        bus.declare().await.unwrap();
        let full = serde_json::json!({"pattern": "^loyalty.v1$", "definition": {"max-length": 1}, "apply-to": "queues"});
        vhost.call(reqwest::Method::PUT, &format!("policies/{}/full", vhost.name), Some(full)).await;
        let refused = async {
            loop {
                // The queue refuses once it has counted what it holds.
                for result in bus.publish(&messages::<HoldPromocodeV1>(2)).await {
                    if let Err(error) = result {
                        return error;
                    }
                }
            }
        };
        assert!(matches!(soon(refused).await, BusError::NotTaken(_)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_consumer_had_fetched_ahead_goes_to_the_next() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        let batch = messages::<HoldPromocodeV1>(20);
        confirmed(publish(&bus, &batch)).await;
        let mut first = consumer(&bus, "loyalty.v1").await;
        let held = soon(first.next_batch(3)).await;
        drop(first);
        drop(held);
        let mut came = take(&mut consumer(&bus, "loyalty.v1").await, 20).await;
        came.sort();
        assert_eq!(came, ids(&batch));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_everything_closes_the_connections() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        let mut consumer = consumer(&bus, "loyalty.v1").await;
        let listener = bus.listen(&WAKE_UPS[0]).await.unwrap();
        let batch = messages::<UserRegisteredV1>(1);
        confirmed(publish(&bus, &batch)).await;
        take(&mut consumer, 1).await;
        soon(vhost.until_connections(2)).await;
        drop((bus, consumer, listener));
        soon(vhost.until_connections(0)).await;
    })
    .await;
}

#[test]
fn a_bad_url_does_not_show_its_password() {
    for url in [
        "amqp://user:hunter2@host:notaport/%2f",
        "amqp://user:hunter2@host/a/b/c?heartbeat=hunter2",
    ] {
        if let Err(error) = bus::connect(url) {
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
    assert!(matches!(
        bus::connect("amqp://user:hunter2@host:notaport/%2f"),
        Err(BusError::InvalidUrl)
    ));
}

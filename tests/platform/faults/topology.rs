//! Bindings and queues vanish from the broker while messages are on their way.
//!
//! What has one way only comes back to its publisher. What some other queue takes too does not: roll
//! calls find it.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use shared::contracts::{
    Exchange, HoldPromocodeV1, Message, PromocodeHeldV1, PromocodeRefusedV1, PurchasePaidV1, QUEUES,
    UserBlockedV1, WalletCreditedV1,
};

use super::{
    SOON,
    arena::{Arena, Behind, PRICE},
    stream::{Outcome, Stream},
};

const TOP_UPS: usize = 4;
/// Nobody else takes what these are for.
const LONELY: [&str; 2] = ["loyalty.v1", "billing.v1"];

/// Only a message that comes back because no queue took it makes anybody declare the binding again;
/// its purchase does not even fail.
pub async fn bindings_vanish(arena: &mut Arena, stream: &Stream, round: usize) {
    unbind::<HoldPromocodeV1>(arena, "loyalty.v1").await;
    unbind::<PromocodeHeldV1>(arena, "billing.v1").await;
    unbind::<PromocodeRefusedV1>(arena, "billing.v1").await;
    unbind::<WalletCreditedV1>(arena, "notifications.v1").await;
    let gone = Instant::now();
    for _ in 0..TOP_UPS {
        arena.top_up(0, PRICE).await;
    }
    let fault = format!("bindings that vanish, round {round}");
    stream.recovers(&fault, gone, SOON).await;
}

/// What one of several queues would have taken does not come back, and what lay in a queue is gone with
/// it.
pub async fn shared_ways_vanish(arena: &mut Arena, stream: &Stream) {
    unbind::<PurchasePaidV1>(arena, "notifications.v1").await;
    unbind::<UserBlockedV1>(arena, "loyalty.v1").await;
    let gone = Instant::now();
    block_somebody(arena, "unbound").await;
    stream.recovers("bindings of one among several", gone, SOON).await;

    delete(
        arena,
        &format!("queues/{}/notifications.v1", arena.broker_api().1),
    )
    .await;
    let gone = Instant::now();
    arena.top_up(0, PRICE).await;
    stream.recovers("a queue deleted", gone, SOON).await;
}

/// A user registers, is blocked, unblocked and blocked again: every service is to know that.
async fn block_somebody(arena: &Arena, name: &str) {
    let user = arena.platform.user(name, 0).await;
    for what in ["block", "unblock", "block"] {
        let path = format!("/auth/v1/users/{}/{what}", user.id);
        arena.platform.admin.post(&path, &json!({})).await.expect(200);
    }
}

mod full {
    use super::*;

    /// Each binding and each queue once, while people buy; in the end everything has arrived everywhere.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_single_binding_or_queue_vanishes_nothing_is_missing_in_the_end() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        let host = arena.broker_api().1;
        for queue in QUEUES {
            for (number, binding) in queue.bindings.iter().enumerate() {
                let (exchange, key) = (binding.exchange.as_str(), binding.routing_key);
                let path = format!("bindings/{host}/e/{exchange}/q/{}/{key}", queue.name);
                delete(&arena, &path).await;
                arena.top_up(0, PRICE).await;
                block_somebody(&arena, &format!("{}-{number}", queue.service)).await;
                arena
                    .platform
                    .tariff(&format!("{} {number}", queue.service), PRICE)
                    .await;
            }
        }
        stream.recovers("every binding once", Instant::now(), SOON).await;
        arena.end_whole(stream).await;
        arena.assert_acknowledged().await;
        for queue in QUEUES {
            let stream = arena.stream().await;
            for number in 0..3 {
                block_somebody(&arena, &format!("{}-queue-{number}", queue.service)).await;
                delete(&arena, &format!("queues/{host}/{}", queue.name)).await;
            }
            let fault = format!("{} deleted under load", queue.name);
            stream.recovers(&fault, Instant::now(), SOON).await;
            arena.end_whole(stream).await;
            arena.assert_acknowledged().await;
        }
        arena.close().await;
    }

    const ROUNDS: usize = 3;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn messages_that_no_queue_takes_come_back_and_are_said_again() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        for round in 1..=ROUNDS {
            bindings_vanish(&mut arena, &stream, round).await;
        }
        arena.end_whole(stream).await;
        arena.assert_acknowledged().await;

        // Whole queues, with nothing in them, just before somebody needs them.
        for queue in LONELY {
            delete(&arena, &format!("queues/{}/{queue}", arena.broker_api().1)).await;
            let gone = Instant::now();
            let stream = arena.stream().await;
            stream.recovers(&format!("{queue} deleted"), gone, SOON).await;
            arena.end_whole(stream).await;
            arena.assert_acknowledged().await;
        }
        let given_up: Vec<_> = arena
            .intents
            .iter()
            .filter(|intent| intent.outcome() == Some(&Outcome::Failed("purchase_timed_out".to_owned())))
            .collect();
        assert!(given_up.is_empty(), "messages were lost: {given_up:#?}");
        arena.close().await;
    }
}

async fn unbind<M: Message>(arena: &Arena, queue: &str) {
    let host = arena.broker_api().1;
    let (exchange, key) = (Exchange::as_str(M::EXCHANGE), M::ROUTING_KEY);
    delete(arena, &format!("bindings/{host}/e/{exchange}/q/{queue}/{key}")).await;
}

async fn delete(arena: &Arena, what: &str) {
    let api = arena.broker_api().0;
    let answer = api
        .send(api.request(Method::DELETE, &format!("/api/{what}")))
        .await;
    // What was deleted just before, and is not declared again yet, is gone as well.
    assert!(
        answer.status.is_success() || answer.status.as_u16() == 404,
        "{answer:?}"
    );
}

//! RabbitMQ is killed.

use std::time::Instant;

use super::{
    LATER,
    arena::{Arena, Behind},
    stream::Stream,
};

/// It first takes bytes for a while without reading them, so that it dies with messages in its sockets
/// that only a missing confirm can tell.
pub async fn is_killed(arena: &Arena, stream: &Stream, round: usize) {
    let frozen = Instant::now();
    let broker = arena.servers.rabbitmq().unwrap();
    broker.freeze();
    stream.waits_for_somebody_stuck(frozen, 4).await;
    broker.kill();
    broker.start_again().await.unwrap();
    let fault = format!("kill -9 of RabbitMQ, round {round}");
    stream.recovers(&fault, Instant::now(), LATER).await;
}

mod full {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broker_that_is_killed_loses_nothing() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        for round in 1..=3 {
            is_killed(&arena, &stream, round).await;
        }
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

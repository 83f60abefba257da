//! The wire to the broker, or to the databases, is cut in every way.

use std::time::{Duration, Instant};

use super::{
    LATER,
    arena::{Arena, Behind},
    proxy::Proxy,
    stream::Stream,
};

/// How long nothing passes.
const SILENCE: Duration = Duration::from_secs(4);

/// Connections are reset, and then nothing passes for a moment.
pub async fn breaks_shortly(wire: &Proxy, stream: &Stream, server: &str) {
    wire.reset();
    let fault = format!("connections to {server} reset");
    stream.recovers(&fault, Instant::now(), LATER).await;

    // With messages in the socket that were written and never read.
    wire.stall();
    // How long the fault lasts, not how long something takes.
    tokio::time::sleep(SILENCE / 4).await;
    wire.reset();
    wire.heal();
    let fault = format!("a black hole before {server}, then a reset");
    stream.recovers(&fault, Instant::now(), LATER).await;
}

async fn breaks(wire: &Proxy, stream: &Stream, server: &str) {
    for round in 1..=3 {
        wire.reset();
        let fault = format!("connections to {server} reset, round {round}");
        stream.recovers(&fault, Instant::now(), LATER).await;
    }

    wire.refuse();
    tokio::time::sleep(SILENCE / 4).await;
    wire.heal();
    let fault = format!("connections to {server} refused");
    stream.recovers(&fault, Instant::now(), LATER).await;

    wire.stall();
    tokio::time::sleep(SILENCE).await;
    wire.heal();
    let fault = format!("a black hole before {server}");
    stream.recovers(&fault, Instant::now(), LATER).await;

    wire.stall();
    tokio::time::sleep(SILENCE / 4).await;
    wire.reset();
    wire.heal();
    let fault = format!("a black hole before {server}, then a reset");
    stream.recovers(&fault, Instant::now(), LATER).await;

    wire.stall();
    tokio::time::sleep(SILENCE / 4).await;
    wire.replace();
    let fault = format!("a black hole before {server} that keeps its connections");
    stream.recovers(&fault, Instant::now(), LATER).await;
}

mod full {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broken_wire_to_the_broker_loses_nothing() {
        let mut arena = Arena::start(Behind::Broker).await;
        let stream = arena.stream().await;
        let wire = arena.broker_wire.as_ref().expect("a proxy");
        breaks(wire, &stream, "the broker").await;
        arena.end_whole(stream).await;
        arena.close().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broken_wire_to_the_databases_loses_nothing() {
        let mut arena = Arena::start(Behind::Database).await;
        let stream = arena.stream().await;
        let wire = arena.database_wire.as_ref().expect("a proxy");
        breaks(wire, &stream, "the databases").await;
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

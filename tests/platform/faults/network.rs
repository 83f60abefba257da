//! The wire to the broker, or to the databases, is cut in every way.

use std::time::{Duration, Instant};

use super::{
    LATER,
    arena::{Arena, Behind},
    proxy::Proxy,
};

/// How long nothing passes.
const SILENCE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_wire_to_the_broker_loses_nothing() {
    the_wire_breaks(Behind::Broker, "the broker").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_wire_to_the_databases_loses_nothing() {
    the_wire_breaks(Behind::Database, "the databases").await;
}

async fn the_wire_breaks(behind: Behind, server: &str) {
    let mut arena = Arena::start(behind).await;
    let stream = arena.stream().await;
    for round in 1..=3 {
        proxy(&arena).reset();
        let fault = format!("connections to {server} reset, round {round}");
        stream.recovers(&fault, Instant::now(), LATER).await;
    }

    proxy(&arena).refuse();
    // How long the fault lasts, not how long something takes.
    tokio::time::sleep(SILENCE / 4).await;
    proxy(&arena).heal();
    let fault = format!("connections to {server} refused");
    stream.recovers(&fault, Instant::now(), LATER).await;

    proxy(&arena).stall();
    tokio::time::sleep(SILENCE).await;
    proxy(&arena).heal();
    let fault = format!("a black hole before {server}");
    stream.recovers(&fault, Instant::now(), LATER).await;

    // With messages in the socket that were written and never read.
    proxy(&arena).stall();
    tokio::time::sleep(SILENCE / 4).await;
    proxy(&arena).reset();
    proxy(&arena).heal();
    let fault = format!("a black hole before {server}, then a reset");
    stream.recovers(&fault, Instant::now(), LATER).await;

    proxy(&arena).stall();
    tokio::time::sleep(SILENCE / 4).await;
    proxy(&arena).replace();
    let fault = format!("a black hole before {server} that keeps its connections");
    stream.recovers(&fault, Instant::now(), LATER).await;

    arena.end_whole(stream).await;
    arena.close().await;
}

fn proxy(arena: &Arena) -> &Proxy {
    arena.proxy.as_ref().expect("a proxy")
}

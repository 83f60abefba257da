//! A consumer crashes again and again while healthy messages lie with it.

use std::{net::SocketAddr, time::Instant};

use reqwest::Method;
use shared::{
    contracts::ServiceName,
    testing::{Api, eventually},
};

use super::{
    SOON,
    arena::{Arena, Behind},
    stream::Stream,
};

/// Well below the queues' delivery limit, which also counts for messages that only lay there.
const CRASHES: usize = 12;

/// Waits until the loyalty at `address` has applied something.
async fn takes_part(address: SocketAddr) {
    let applied = r#"kopeck_inbox_messages_total{service="loyalty",outcome="applied"}"#;
    let api = Api::new(format!("http://{address}"));
    eventually("the consumer takes part again", || async {
        let metrics = api
            .request(Method::GET, "/metrics")
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(applied))?;
        (line.trim() != "0").then_some(())
    })
    .await;
}

/// The consumer is first suspended until messages are stuck with it, so that it has some that it has
/// neither applied nor given back. All are healthy: none may be parked for what happened to others.
pub async fn crashes(arena: &mut Arena, stream: &Stream) {
    let replica = &mut arena.processes(ServiceName::Loyalty)[0];
    // One that does not consume yet has nothing to crash with.
    takes_part(replica.address()).await;
    let frozen = Instant::now();
    replica.freeze().await.unwrap();
    stream.waits_for_somebody_stuck(frozen, 2).await;
    replica.kill().await.unwrap();
    replica.start_again().await.unwrap();
    replica.ready().await.unwrap();
}

mod full {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_consumer_that_keeps_crashing_parks_and_loses_nothing() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        for _ in 0..CRASHES {
            crashes(&mut arena, &stream).await;
        }
        let fault = format!("{CRASHES} crashes of a consumer");
        stream.recovers(&fault, Instant::now(), SOON).await;
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

//! Redis is killed, and hangs.

use std::time::Instant;

use super::{
    SOON,
    arena::{Arena, Behind},
};

/// Nothing is decided by what it keeps, so that purchases go on without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_hangs_or_is_gone_stops_nobody() {
    let mut arena = Arena::start(Behind::Nothing).await;
    let stream = arena.stream().await;
    arena.servers.redis().unwrap().freeze();
    stream.recovers("Redis hangs", Instant::now(), SOON).await;
    arena.servers.redis().unwrap().kill();
    stream.recovers("kill -9 of Redis", Instant::now(), SOON).await;
    arena.servers.redis().unwrap().start_again().await.unwrap();
    stream.recovers("Redis is back", Instant::now(), SOON).await;
    arena.end_whole(stream).await;
    arena.close().await;
}

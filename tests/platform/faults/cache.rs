//! Redis is killed, and hangs.

use std::time::Instant;

use super::{
    SOON,
    arena::{Arena, Behind},
    stream::Stream,
};

/// Nothing is decided by what it keeps, so that purchases go on without it.
pub async fn hangs_and_is_killed(arena: &Arena, stream: &Stream) {
    let redis = arena.servers.redis().unwrap();
    redis.freeze();
    stream.recovers("Redis hangs", Instant::now(), SOON).await;
    redis.kill();
    stream.recovers("kill -9 of Redis", Instant::now(), SOON).await;
    redis.start_again().await.unwrap();
    stream.recovers("Redis is back", Instant::now(), SOON).await;
}

mod full {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cache_that_hangs_or_is_gone_stops_nobody() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        hangs_and_is_killed(&arena, &stream).await;
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

//! PostgreSQL is killed.

use std::time::Instant;

use super::{
    LATER,
    arena::{Arena, Behind},
    stream::Stream,
};

/// It is killed, and started again at once.
pub async fn restarts_at_once(arena: &Arena, stream: &Stream, round: usize) {
    let postgres = arena.servers.postgres().unwrap();
    postgres.kill();
    postgres.start_again().await.unwrap();
    let fault = format!("immediate restart of PostgreSQL, round {round}");
    stream.recovers(&fault, Instant::now(), LATER).await;
}

mod full {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_database_that_restarts_at_once_loses_nothing() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        for round in 1..=3 {
            restarts_at_once(&arena, &stream, round).await;
        }
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

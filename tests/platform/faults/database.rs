//! PostgreSQL is killed.

use std::time::Instant;

use super::{
    LATER,
    arena::{Arena, Behind},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_at_once_loses_nothing() {
    let mut arena = Arena::start(Behind::Nothing).await;
    let stream = arena.stream().await;
    for round in 1..=3 {
        arena.servers.postgres().unwrap().kill();
        arena.servers.postgres().unwrap().start_again().await.unwrap();
        let fault = format!("immediate restart of PostgreSQL, round {round}");
        stream.recovers(&fault, Instant::now(), LATER).await;
    }
    arena.end_whole(stream).await;
    arena.close().await;
}

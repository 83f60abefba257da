//! Processes of the services are killed.

use std::time::Instant;

use shared::contracts::ServiceName;

use super::{
    SOON,
    arena::{Arena, Behind},
    stream::Stream,
};

/// The other replica makes up for it.
pub async fn one_is_killed(arena: &mut Arena, stream: &Stream, service: ServiceName, replica: usize) {
    let killed = Instant::now();
    arena.processes(service)[replica].kill().await.unwrap();
    let fault = format!("kill -9 of {service} {}", replica + 1);
    stream.recovers(&fault, killed, SOON).await;
    let process = &mut arena.processes(service)[replica];
    process.start_again().await.unwrap();
    process.ready().await.unwrap();
}

/// Both replicas are killed, and started again.
pub async fn both_are_killed(arena: &mut Arena, stream: &Stream, service: ServiceName) {
    for process in arena.processes(service) {
        process.kill().await.unwrap();
    }
    for process in arena.processes(service) {
        process.start_again().await.unwrap();
    }
    for process in arena.processes(service) {
        process.ready().await.unwrap();
    }
    let fault = format!("kill -9 of both {service}");
    stream.recovers(&fault, Instant::now(), SOON).await;
    if service == ServiceName::Auth {
        a_newcomer_is_welcome(arena).await;
    }
}

/// Purchases need nothing of auth but its keys; signing up does.
async fn a_newcomer_is_welcome(arena: &Arena) {
    let newcomer = arena.platform.user("newcomer", 0).await;
    newcomer.letters(1).await;
}

mod full {
    use super::*;

    /// One replica, the other one, then both: for each service.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_service_can_be_killed_and_started_again() {
        let mut arena = Arena::start(Behind::Nothing).await;
        for service in ServiceName::ALL {
            let stream = arena.stream().await;
            for replica in 0..2 {
                one_is_killed(&mut arena, &stream, service, replica).await;
            }
            both_are_killed(&mut arena, &stream, service).await;
            arena.end_whole(stream).await;
        }
        arena.close().await;
    }
}

//! What the program takes of a machine's memory.

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use shared::testing::Api;

use crate::platform::Platform;

const CLIENTS: usize = 16;
const ROUNDS: usize = 6;
const MEBIBYTE: u64 = 1024 * 1024;

/// What the process has in memory, as it says itself.
async fn resident_memory(process: &Api) -> u64 {
    let answer = process.request(Method::GET, "/metrics").send().await.unwrap();
    let text = answer.text().await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse().unwrap()
}

/// Each hash takes 19 MiB. A thread that hashes keeps them for the next one, and nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_that_register_and_log_in_take_less_than_100_mebibytes() {
    let platform = Platform::embedded().await;
    let process = &platform.processes()[0];
    let idle = resident_memory(process).await;
    let mut most = idle;
    for round in 0..ROUNDS {
        let clients = (0..CLIENTS).map(|client| async move {
            let body = json!({
                "email": format!("client-{client}-{round}@example.com"),
                "password": "correct horse battery",
            });
            process.post("/auth/v1/register", &body).await.expect(201);
            for _ in 0..2 {
                process.post("/auth/v1/login", &body).await.expect(200);
            }
        });
        join_all(clients).await;
        most = most.max(resident_memory(process).await);
    }
    let grown = (most - idle) / MEBIBYTE;
    println!(
        "{} MiB idle, {grown} MiB more with {CLIENTS} clients",
        idle / MEBIBYTE
    );
    assert!(
        grown < 100,
        "{grown} MiB more than the {} MiB when idle",
        idle / MEBIBYTE
    );
    platform.finish().await;
}

//! What Ctrl-C does, and how soon.

use std::time::Duration;

use shared::testing::Api;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
};

use super::start;
use crate::platform::interrupt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_sent_request_does_not_hold_the_stop_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address) = start(&["run"], folder.path(), &[]).await;
    let _half = send_half_a_request(&address).await;
    let mut errors = child.stderr.take().unwrap();
    let began = std::time::Instant::now();
    assert!(interrupt(child).await.success());
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let mut log = String::new();
    errors.read_to_string(&mut log).await.unwrap();
    assert!(log.contains("requests did not end"), "{log}");
    assert!(!log.contains('\u{1b}'), "no colours in a file: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_ctrl_c_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address) = start(&["run"], folder.path(), &[]).await;
    let _half = send_half_a_request(&address).await;
    let id = child.id().unwrap().to_string();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let kill = || Command::new("kill").args(["-INT", &id]).status();
    assert!(kill().await.unwrap().success());
    while lines.next_line().await.unwrap().expect("it says so") != "Stopping." {}
    let began = std::time::Instant::now();
    assert!(kill().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

async fn send_half_a_request(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let half = b"POST /auth/v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(half).await.unwrap();
    // An answer to another request shows that the server has read this one.
    Api::new(format!("http://{address}"))
        .get("/auth/health/live")
        .await
        .expect(200);
    stream
}

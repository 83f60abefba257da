//! Clients hang up in the middle of their requests.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::Method;
use shared::contracts::ServiceName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    SOON,
    arena::{Arena, Behind, OPEN},
    stream::{Stream, Wish, body_of},
};

/// How many at once: together with those who buy normally.
pub const AT_ONCE: usize = 16;

/// So many clients hang up, and then ask again.
pub async fn happen(arena: &mut Arena, stream: &Stream, hang_ups: usize) {
    let hot = arena.hot[0].code.clone();
    let wishes: Vec<_> = (0..hang_ups).map(|number| wish(number, &hot)).collect();
    let replicas: Vec<_> = arena
        .processes(ServiceName::Billing)
        .iter()
        .map(|process| process.address())
        .collect();
    for (batch, wishes) in wishes.chunks(AT_ONCE).enumerate() {
        let all = wishes.iter().enumerate().map(|(number, wish)| {
            let request = request(arena, wish);
            let pause = Duration::from_micros(((batch * AT_ONCE + number) * 7_919 % 30_000) as u64);
            hang_up(replicas[number % replicas.len()], request, pause)
        });
        futures::future::join_all(all).await;
    }
    let over = Instant::now();
    stream.recovers("clients that hang up", over, SOON).await;

    // Now they ask properly: whatever has come of the first try, each gets the one purchase.
    for wishes in wishes.chunks(AT_ONCE) {
        let again = wishes.iter().map(|wish| arena.buy(wish.clone()));
        let intents = futures::future::join_all(again).await;
        arena.intents.extend(intents);
    }
}

fn wish(number: usize, hot: &str) -> Wish {
    let promocode = match number % 4 {
        0 => Some(OPEN),
        1 => Some(hot),
        _ => None,
    };
    Wish {
        // Of those with money, and of those without.
        buyer: number % 7,
        key: format!("hang-up-{number}"),
        promocode: promocode.map(str::to_owned),
    }
}

fn request(arena: &Arena, wish: &Wish) -> String {
    let body = body_of(&arena.tariff, wish).to_string();
    let api = &arena.buyers[wish.buyer].user.api;
    let proper = api.request(Method::POST, "/").build().unwrap();
    let token = proper.headers()["authorization"].to_str().unwrap();
    format!(
        "POST /billing/v1/purchases HTTP/1.1\r\nhost: kopeck\r\nauthorization: {token}\r\n\
         content-type: application/json\r\nidempotency-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
        wish.key,
        body.len()
    )
}

/// Sends the request and closes the connection `pause` later, whatever has come back by then.
async fn hang_up(replica: SocketAddr, request: String, pause: Duration) {
    let mut stream = TcpStream::connect(replica).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let _ = tokio::time::timeout(pause, stream.read(&mut answer)).await;
    // Says RST: whoever is at work for this connection is told at once.
    let _ = stream.set_zero_linger();
}

mod full {
    use super::*;

    const HANG_UPS: usize = 400;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn clients_that_hang_up_buy_once_or_not_at_all() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        happen(&mut arena, &stream, HANG_UPS).await;
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

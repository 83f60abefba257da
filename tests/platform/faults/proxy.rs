//! A wire that can be cut: forwards TCP, resets it, or swallows it.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

/// What happens to connections, which are numbered as they come.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Everybody who comes is reset.
    refusing: bool,
    /// Nothing passes, though connections are accepted and stay.
    stalled: bool,
    /// Those below this number are reset.
    reset_below: u64,
    /// For those below this number nothing will ever pass again.
    dead_below: u64,
    /// The number of the next one.
    next: u64,
}

impl Fate {
    fn passes(&self, number: u64) -> bool {
        !self.stalled && number >= self.dead_below
    }

    fn resets(&self, number: u64) -> bool {
        self.refusing || number < self.reset_below
    }
}

/// Stands between the services and one server. Dropping it resets everything.
pub struct Proxy {
    address: SocketAddr,
    fate: Arc<watch::Sender<Fate>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fate = Arc::new(watch::Sender::new(Fate::default()));
        let numbers = Arc::clone(&fate);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                let mut number = 0;
                numbers.send_modify(|fate| {
                    number = fate.next;
                    fate.next += 1;
                });
                tokio::spawn(carry(number, client, server, numbers.subscribe()));
            }
        });
        Self {
            address,
            fate,
            accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection; new ones are forwarded.
    pub fn reset(&self) {
        self.fate.send_modify(|fate| fate.reset_below = fate.next);
    }

    /// Resets every connection, and each that comes until [`Self::heal`].
    pub fn refuse(&self) {
        self.fate.send_modify(|fate| fate.refusing = true);
    }

    /// Passes nothing on until [`Self::heal`] or [`Self::replace`].
    pub fn stall(&self) {
        self.fate.send_modify(|fate| fate.stalled = true);
    }

    /// Forwards again, also what was held back.
    pub fn heal(&self) {
        self.fate.send_modify(|fate| {
            fate.stalled = false;
            fate.refusing = false;
        });
    }

    /// Forwards new connections; those there are stay silent for ever, as when whatever stood
    /// between has forgotten them.
    pub fn replace(&self) {
        self.fate.send_modify(|fate| {
            fate.dead_below = fate.next;
            fate.stalled = false;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.refuse();
    }
}

async fn carry(number: u64, mut client: TcpStream, server: SocketAddr, fate: watch::Receiver<Fate>) {
    let mut upstream = None;
    let was_reset = tokio::select! {
        biased;
        () = until(&fate, |fate| fate.resets(number)) => true,
        () = forward(number, &mut client, &mut upstream, server, &fate) => false,
    };
    if was_reset {
        for end in [Some(client), upstream].into_iter().flatten() {
            // Closing it now says RST, not FIN.
            let _ = end.set_zero_linger();
        }
    }
}

/// Until either side closes.
async fn forward(
    number: u64,
    client: &mut TcpStream,
    upstream: &mut Option<TcpStream>,
    server: SocketAddr,
    fate: &watch::Receiver<Fate>,
) {
    until(fate, |fate| fate.passes(number)).await;
    let Ok(connected) = TcpStream::connect(server).await else {
        return;
    };
    let upstream = upstream.insert(connected);
    for end in [&*client, &*upstream] {
        let _ = end.set_nodelay(true);
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = upstream.split();
    tokio::select! {
        () = pass(number, from_client, to_server, fate) => {}
        () = pass(number, from_server, to_client, fate) => {}
    }
}

async fn pass(number: u64, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, fate: &watch::Receiver<Fate>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        until(fate, |fate| fate.passes(number)).await;
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        // What came after the wire was cut does not pass either.
        until(fate, |fate| fate.passes(number)).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// When the proxy is gone this is never true, and the reset comes.
async fn until(fate: &watch::Receiver<Fate>, is_so: impl Fn(&Fate) -> bool) {
    if fate.clone().wait_for(|fate| is_so(fate)).await.is_err() {
        std::future::pending().await
    }
}

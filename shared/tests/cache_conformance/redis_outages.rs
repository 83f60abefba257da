//! What the Redis cache does when its server is not well: no call takes long, none fails, and it
//! works again by itself.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    cache::{
        Cache, Unavailable,
        redis::{RedisCache, Timing},
    },
    testing::eventually,
};
use tempfile::TempDir;

use crate::{
    promises::{entry, now, value},
    redis::patient,
};

/// No call takes as long. Its patience is 100 ms; the rest is for a busy machine.
const BOUND: Duration = Duration::from_secs(1);

/// A Redis of the test's own; gone with it.
struct Server {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut server = Self {
            child: spawn(folder.path(), port),
            folder,
            port,
        };
        server.until_up().await;
        server
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port);
        self.until_up().await;
    }

    /// It answers, whatever its answer is.
    async fn until_up(&mut self) {
        let url = self.url();
        eventually("Redis is there", || async {
            let cache = patient(&url, "probe", Duration::from_secs(1));
            cache.get(&["x"]).await.ok()
        })
        .await;
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    fn cache(&self) -> Arc<dyn Cache> {
        Arc::new(RedisCache::new(&self.url(), "test", Timing::default()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(folder: &Path, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        // Everything that it has answered is there after a kill.
        .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// Puts this and sees it, as often as a busy machine makes it necessary.
async fn until_kept(cache: &Arc<dyn Cache>, key: &str, version: i64) {
    eventually("it is kept", || async {
        let look = cache.get(&[key]).await.ok()?;
        cache.put(key, entry(version, look.at, "x")).await;
        let look = cache.get(&[key]).await.ok()?;
        look.entries[0].clone()
    })
    .await;
}

/// A call of each kind; how long the longest took.
async fn longest_of_each(cache: &Arc<dyn Cache>, moment: shared::cache::Moment) -> Duration {
    let mut longest = Duration::ZERO;
    let mut timed = |since: Instant| longest = longest.max(since.elapsed());
    let start = Instant::now();
    assert_eq!(cache.get(&["a", "b"]).await, Err(Unavailable));
    timed(start);
    let start = Instant::now();
    cache.put("a", entry(2, moment, "x")).await;
    timed(start);
    let start = Instant::now();
    cache.forget(&[("a", 3), ("b", 3)]).await;
    timed(start);
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_not_there_is_done_without_until_it_is() {
    let mut server = Server::start().await;
    let moment = now(&patient(&server.url(), "test", BOUND)).await;
    server.kill();
    // The process starts without it.
    let cache = server.cache();
    assert!(longest_of_each(&cache, moment).await < BOUND);
    server.start_again().await;
    until_kept(&cache, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_is_done_without_and_used_again() {
    let mut server = Server::start().await;
    let cache = server.cache();
    until_kept(&cache, "a", 1).await;
    let moment = now(&patient(&server.url(), "test", BOUND)).await;
    server.kill();
    assert!(longest_of_each(&cache, moment).await < BOUND);
    server.start_again().await;
    until_kept(&cache, "b", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_makes_one_call_wait_and_not_every_one() {
    let server = Server::start().await;
    let cache = server.cache();
    until_kept(&cache, "a", 1).await;
    let moment = now(&patient(&server.url(), "test", BOUND)).await;
    server.signal("STOP");
    let start = Instant::now();
    for _ in 0..200 {
        assert_eq!(cache.get(&["a"]).await, Err(Unavailable));
    }
    let asked = start.elapsed();
    // One by one they would take twenty seconds.
    assert!(asked < Duration::from_secs(4), "{asked:?} for 200 calls");
    assert!(longest_of_each(&cache, moment).await < BOUND);
    server.signal("CONT");
    until_kept(&cache, "b", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_wait_together_for_a_redis_that_hangs() {
    let server = Server::start().await;
    let cache = server.cache();
    server.signal("STOP");
    let start = Instant::now();
    let calls = (0..200).map(|_| {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { cache.get(&["a"]).await })
    });
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), Err(Unavailable));
    }
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    server.signal("CONT");
    until_kept(&cache, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hanging_redis_gets_too_late_it_does_not_keep() {
    let server = Server::start().await;
    let life = Duration::from_millis(300);
    let timing = Timing {
        life,
        patience: Duration::from_millis(100),
        rest: Duration::ZERO,
    };
    let cache: Arc<dyn Cache> = Arc::new(RedisCache::new(&server.url(), "test", timing).unwrap());
    until_kept(&cache, "warm", 1).await;
    // It would find it dead or alive.
    let witness = patient(&server.url(), "test", Duration::from_secs(600));
    let before = now(&witness).await;
    server.signal("STOP");
    // It is on its way, and waits in Redis' socket for longer than an entry lives.
    cache.put("a", entry(1, before, "old")).await;
    tokio::time::sleep(life).await;
    server.signal("CONT");
    // By then Redis has read what was sent before.
    for version in 2..5 {
        until_kept(&cache, "warm", version).await;
        assert_eq!(value(&witness, "a").await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_nobody_answers_is_given_up() {
    // It takes connections and never says anything, as a host behind a broken network does.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let url = format!("redis://{address}/0");
    let timing = Timing {
        rest: Duration::ZERO,
        ..Timing::default()
    };
    let cache = RedisCache::new(&url, "test", timing).unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(cache.get(&["a"]).await, Err(Unavailable));
        assert!(start.elapsed() < BOUND);
    }
    // Each try was made on a connection of its own.
    silent.set_nonblocking(true).unwrap();
    let connections: Vec<TcpStream> =
        std::iter::from_fn(|| silent.accept().ok().map(|(stream, _)| stream)).collect();
    assert_eq!(connections.len(), 3);
}

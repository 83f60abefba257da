//! What the RabbitMQ bus does when its broker is not well.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    bus::{self, BusError, Heard},
    contracts::{HoldPromocodeV1, PurchasePaidV1, WAKE_UPS},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use crate::{
    broker::{Vhost, with_vhost},
    promises::{confirmed, consumer, hear, ids, messages, publish, soon, take},
    rabbit::{publish_until_confirmed, take_all},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_come_back_by_themselves() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        let mut consumer = consumer(&bus, "loyalty.v1").await;
        let mut listener = bus.listen(&WAKE_UPS[0]).await.unwrap();
        assert_eq!(soon(listener.next()).await, Heard::Listening);
        let before = messages::<HoldPromocodeV1>(1);
        confirmed(publish(&bus, &before)).await;
        let held = soon(consumer.next_batch(1)).await;

        for connection in soon(vhost.until_connections(2)).await {
            vhost.cut(&connection).await;
        }
        // The connection that it came on is gone: nothing happens, and it comes again.
        held.acknowledge().await;
        assert_eq!(take(&mut consumer, 1).await, ids(&before));

        let after = messages::<HoldPromocodeV1>(3);
        publish_until_confirmed(&bus, &after).await;
        let came: BTreeSet<_> = take(&mut consumer, 3).await.into_iter().collect();
        assert_eq!(came, ids(&after).into_iter().collect());

        let hears = async {
            assert_eq!(listener.next().await, Heard::Deaf);
            let heard = hear(&mut listener);
            tokio::pin!(heard);
            loop {
                publish_until_confirmed(&bus, &messages::<PurchasePaidV1>(1)).await;
                if let Ok(heard) = tokio::time::timeout(Duration::from_millis(100), &mut heard).await {
                    return heard;
                }
            }
        };
        soon(hears).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_and_consumed_again() {
    with_vhost(async |vhost| {
        let bus = vhost.bus();
        let mut consumer = consumer(&bus, "loyalty.v1").await;
        let before = messages::<HoldPromocodeV1>(1);
        confirmed(publish(&bus, &before)).await;
        take(&mut consumer, 1).await;

        vhost.delete(&format!("queues/{}/loyalty.v1", vhost.name)).await;
        let taking = tokio::spawn(async move { take(&mut consumer, 1).await });
        let after = messages::<HoldPromocodeV1>(1);
        publish_until_confirmed(&bus, &after).await;
        assert_eq!(soon(taking).await.unwrap(), ids(&after));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_is_given_up_in_time_and_found_again() {
    with_vhost(async |vhost| {
        let proxy = Proxy::start(&vhost.amqp_url).await;
        let bus = bus::connect(&proxy.url).unwrap();
        confirmed(publish(&bus, &messages::<HoldPromocodeV1>(1))).await;

        proxy.set_silent(true);
        let started = Instant::now();
        let results = soon(bus.publish(&messages::<HoldPromocodeV1>(2))).await;
        assert!(
            results
                .iter()
                .all(|result| matches!(result, Err(BusError::TimedOut))),
            "{results:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(7));

        let started = Instant::now();
        assert!(bus.ready().await.is_err());
        assert!(started.elapsed() < Duration::from_secs(3));

        // However many ask, they share one attempt to connect, and its bound.
        let started = Instant::now();
        let asking: Vec<_> = (0..20)
            .map(|_| publish(&bus, &messages::<HoldPromocodeV1>(1)))
            .collect();
        for asked in asking {
            assert!(soon(asked).await.unwrap()[0].is_err());
        }
        assert!(
            started.elapsed() < Duration::from_secs(21),
            "{:?}",
            started.elapsed()
        );

        proxy.set_silent(false);
        let after = messages::<HoldPromocodeV1>(2);
        publish_until_confirmed(&bus, &after).await;
        take_all(&bus, "loyalty.v1", &ids(&after)).await;
        bus.ready().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn without_a_broker_publishing_and_readiness_fail_at_once() {
    let port = free_port();
    let bus = bus::connect(&format!("amqp://guest:guest@127.0.0.1:{port}/%2f")).unwrap();
    assert!(matches!(soon(bus.ready()).await, Err(BusError::Unreachable(_))));
    let results = soon(bus.publish(&messages::<HoldPromocodeV1>(2))).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(BusError::Unreachable(_)))),
        "{results:?}"
    );
    assert_eq!(results.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_when_the_broker_is_killed() {
    let mut broker = PrivateBroker::new();
    broker.start().await;
    let vhost = Vhost::create(&broker.amqp_url(), &broker.api()).await;
    let bus = vhost.bus();
    soon(bus.declare()).await.unwrap();

    let (stop, stopped) = watch::channel(false);
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let (bus, stopped) = (Arc::clone(&bus), stopped.clone());
            tokio::spawn(async move {
                let mut confirmed = Vec::new();
                while !*stopped.borrow() {
                    let batch = messages::<HoldPromocodeV1>(20);
                    for (id, result) in ids(&batch).into_iter().zip(bus.publish(&batch).await) {
                        match result {
                            Ok(()) => confirmed.push(id),
                            Err(_) => sleep(Duration::from_millis(20)).await,
                        }
                    }
                }
                confirmed
            })
        })
        .collect();
    let (sender, mut came) = tokio::sync::mpsc::unbounded_channel();
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    let consuming = tokio::spawn(async move {
        loop {
            let delivery = consumer.next_batch(64).await;
            for body in crate::promises::bodies(&delivery) {
                sender.send(body).unwrap();
            }
            delivery.acknowledge().await;
        }
    });

    let mut seen = BTreeSet::new();
    while seen.len() < 200 {
        seen.insert(soon(came.recv()).await.unwrap());
    }
    broker.kill();
    broker.start().await;
    // Publishing goes on: something new arrives after what was known when the broker died.
    let known = seen.len() + came.len();
    while seen.len() < known + 200 {
        seen.insert(soon(came.recv()).await.unwrap());
    }
    stop.send(true).unwrap();
    let mut confirmed = BTreeSet::new();
    for publisher in publishers {
        confirmed.extend(soon(publisher).await.unwrap());
    }
    while !confirmed.is_subset(&seen) {
        seen.insert(soon(came.recv()).await.unwrap());
    }
    consuming.abort();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Forwards to the broker, until it is told to fall silent without closing anything.
struct Proxy {
    url: String,
    silent: watch::Sender<bool>,
}

impl Proxy {
    async fn start(amqp_url: &str) -> Self {
        let at = amqp_url.find('@').unwrap() + 1;
        let slash = at + amqp_url[at..].find('/').unwrap();
        let target = amqp_url[at..slash].to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (silent, hears) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(forward(from_client, to_server, hears.clone()));
                tokio::spawn(forward(from_server, to_client, hears.clone()));
            }
        });
        Self {
            url: format!("{}{address}{}", &amqp_url[..at], &amqp_url[slash..]),
            silent,
        }
    }

    fn set_silent(&self, silent: bool) {
        self.silent.send(silent).unwrap();
    }
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut silent: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        // What falls into a silence is gone: such a connection never comes back.
        let fell_silent = *silent.borrow_and_update();
        if fell_silent {
            let _ = silent.wait_for(|silent| !silent).await;
            return;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A broker that a test may kill.
struct PrivateBroker {
    folder: tempfile::TempDir,
    server: PathBuf,
    ports: [u16; 4],
    epmd: Child,
    process: Option<Child>,
}

impl PrivateBroker {
    fn new() -> Self {
        let server = std::fs::read_dir("/usr/lib/rabbitmq/lib")
            .ok()
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("sbin/rabbitmq-server")))
            .find(|path| path.exists())
            .expect("RabbitMQ is not installed: run `./test`, which sees to it");
        let folder = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port(), free_port(), free_port()];
        let [amqp, api, ..] = ports;
        std::fs::write(
            folder.path().join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {api}\n"
            ),
        )
        .unwrap();
        let mut plugins = std::fs::File::create(folder.path().join("enabled_plugins")).unwrap();
        plugins.write_all(b"[rabbitmq_management].").unwrap();
        let epmd = Command::new("epmd")
            .args(["-port", &ports[3].to_string(), "-address", "127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd comes with RabbitMQ");
        Self {
            folder,
            server,
            ports,
            epmd,
            process: None,
        }
    }

    fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports[0])
    }

    fn api(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.ports[1])
    }

    /// Starts it on the data that it has, and waits until it answers.
    async fn start(&mut self) {
        use std::os::unix::process::CommandExt;
        let path = |name: &str| -> PathBuf { Path::new(self.folder.path()).join(name) };
        let [amqp, _, distribution, epmd] = self.ports;
        let process = Command::new(&self.server)
            .env("HOME", self.folder.path())
            .env("RABBITMQ_NODENAME", format!("bus{amqp}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", amqp.to_string())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("ERL_EPMD_PORT", epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        self.process = Some(process);
        let client = reqwest_client();
        let url = format!("{}/api/health/checks/virtual-hosts", self.api());
        let answers = async {
            while !client
                .get(&url)
                .send()
                .await
                .is_ok_and(|response| response.status().is_success())
            {
                sleep(Duration::from_millis(100)).await;
            }
        };
        soon(answers).await;
    }

    /// Kills it and all it started, at once.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let group = format!("-{}", process.id());
            let _ = Command::new("kill").args(["-9", "--", &group]).status();
            let _ = process.wait();
        }
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        self.kill();
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

fn reqwest_client() -> reqwest::Client {
    // Several tests get here; only the first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

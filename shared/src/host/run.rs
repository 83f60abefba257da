//! Start, run and stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use secrecy::ExposeSecret as _;
use tokio::{net::TcpListener, sync::broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Context, Definition, Job, JobError, OnWake, Service, health};
use crate::{
    bus::{self, Bus, BusError},
    clock::Clock,
    config::Config,
    contracts::{Envelope, QUEUES, ServiceName, WAKE_UPS, WakeUp},
    db::{ConnectError, Db},
    http,
    inbox::{ForgetInbox, Receiver, RetryInbox},
    outbox::Relay,
    token::{self, TokenVerifier},
};

/// How long requests that run may go on after the stop.
const GRACE: Duration = Duration::from_secs(10);

/// Why the services could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody is to hear what the service says.
    #[error("`--only` needs a message broker that the other services share: set `bus.url` to amqp://…")]
    OnlyNeedsBroker,
    /// Tokens could not be checked.
    #[error("`auth.url` must be set where auth does not run in the same process")]
    NoAuthUrl,
    /// The database can't be opened.
    #[error(transparent)]
    Database(#[from] ConnectError),
    /// The database can't be brought up to date, or is not.
    #[error("the database of {service} is not up to date: {why}")]
    Migration {
        /// Whose.
        service: ServiceName,
        /// Why.
        why: String,
    },
    /// The bus URL is wrong.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The address is taken, or not this machine's.
    #[error("{address} can't be listened on")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A service could not be built.
    #[error("{service} can't be started")]
    Service {
        /// Which.
        service: ServiceName,
        /// Why.
        source: JobError,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client can't be made")]
    Client(#[from] reqwest::Error),
    /// The data folder can't be made.
    #[error("the data folder {folder} can't be made")]
    Data {
        /// Which.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Gives TLS and tokens their crypto: ring, for both. Safe to repeat; comes before the first
/// HTTP client of a process.
pub fn install_crypto() {
    token::install_crypto();
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Services that run.
pub struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    background: TaskTracker,
    /// Relays stop last: what the others say on their way out is still sent.
    stop_relays: CancellationToken,
    relays: TaskTracker,
}

impl Running {
    /// Where the API is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: no new requests and messages, those that run are finished, what was said is sent;
    /// all in bounded time.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, self.server).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        self.background.close();
        if tokio::time::timeout(GRACE, self.background.wait()).await.is_err() {
            tracing::warn!("some background work did not end in time");
        }
        self.stop_relays.cancel();
        self.relays.close();
        if tokio::time::timeout(GRACE, self.relays.wait()).await.is_err() {
            tracing::warn!("some messages stay in the outbox for the next start");
        }
    }
}

/// Starts `definitions` in this process, as `config` says. Returns when the API is served; the
/// bus may still be waited for, as readiness tells.
///
/// # Errors
/// When something is configured wrong, or a database is not there or not up to date.
pub async fn start(
    config: Config,
    definitions: &[Definition],
    clock: Arc<dyn Clock>,
) -> Result<Running, StartError> {
    if definitions.len() < ServiceName::ALL.len() && config.bus_is_embedded() {
        return Err(StartError::OnlyNeedsBroker);
    }
    let bus = bus::connect(config.bus.url.expose_secret())?;
    start_on(bus, config, definitions, clock).await
}

/// The same on a bus that is there already.
///
/// # Errors
/// As [`start`].
pub async fn start_on(
    bus: Arc<dyn Bus>,
    config: Config,
    definitions: &[Definition],
    clock: Arc<dyn Clock>,
) -> Result<Running, StartError> {
    install_crypto();
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: config.listen,
        source,
    })?;

    let tokens = Arc::new(TokenVerifier::new(
        format!("{}/auth/v1/jwks.json", auth_url(&config, definitions, address)?),
        config.auth.issuer.clone(),
        reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .build()?,
        Arc::clone(&clock),
    ));
    let config = Arc::new(config);
    let mut router = Router::new();
    let mut parts = Vec::new();
    for definition in definitions {
        let (db, committed) = open(&config, *definition, &clock).await?;
        let context = Context {
            config: Arc::clone(&config),
            db: db.clone(),
            clock: Arc::clone(&clock),
            tokens: Arc::clone(&tokens),
        };
        let Service {
            router: routes,
            handlers,
            jobs,
            on_wake,
        } = (definition.build)(&context)
            .await
            .map_err(|source| StartError::Service {
                service: definition.name,
                source,
            })?;
        router = router
            .merge(routes)
            .merge(health::routes(*definition, db.clone(), Arc::clone(&bus)));
        let relay = Relay::new(db.clone(), Arc::clone(&bus), committed);
        parts.push((db, relay, Arc::new(handlers), jobs, on_wake));
    }

    let stop = CancellationToken::new();
    let stop_relays = CancellationToken::new();
    let (background, relays) = (TaskTracker::new(), TaskTracker::new());
    let spawner = Spawner {
        bus,
        stop: stop.clone(),
        background: background.clone(),
    };
    let declared = spawner.declare();
    for (db, relay, handlers, mut jobs, on_wake) in parts {
        jobs.push(Arc::new(RetryInbox::new(db.clone(), Arc::clone(&handlers))));
        jobs.push(Arc::new(ForgetInbox(db.clone())));
        relays.spawn(after(
            declared.clone(),
            stop_relays.clone(),
            relay.run(stop_relays.clone()),
        ));
        for queue in QUEUES.iter().filter(|queue| queue.service == db.service()) {
            let receiver = Receiver::new(db.clone(), Arc::clone(&spawner.bus), queue, Arc::clone(&handlers));
            background.spawn(after(declared.clone(), stop.clone(), receiver.run(stop.clone())));
        }
        for job in jobs {
            background.spawn(repeat(job, db.service(), stop.clone()));
        }
        if let Some(on_wake) = on_wake {
            background.spawn(hear_own(db.said(), Arc::clone(&on_wake), stop.clone()));
            for wake_up in WAKE_UPS.iter().filter(|wake_up| wake_up.service == db.service()) {
                let hear = hear_others(
                    Arc::clone(&spawner.bus),
                    wake_up,
                    Arc::clone(&on_wake),
                    stop.clone(),
                );
                background.spawn(after(declared.clone(), stop.clone(), hear));
            }
        }
    }
    let server = tokio::spawn(serve(listener, http::finish(router), stop.clone()));
    Ok(Running {
        address,
        stop,
        server,
        background,
        stop_relays,
        relays,
    })
}

fn auth_url(config: &Config, definitions: &[Definition], address: SocketAddr) -> Result<String, StartError> {
    match &config.auth.url {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None if definitions
            .iter()
            .any(|definition| definition.name == ServiceName::Auth) =>
        {
            let host = match address {
                SocketAddr::V4(address) if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
                SocketAddr::V6(address) if address.ip().is_unspecified() => "[::1]".to_owned(),
                SocketAddr::V4(address) => address.ip().to_string(),
                SocketAddr::V6(address) => format!("[{}]", address.ip()),
            };
            Ok(format!("http://{host}:{}", address.port()))
        }
        None => Err(StartError::NoAuthUrl),
    }
}

async fn open(
    config: &Config,
    definition: Definition,
    clock: &Arc<dyn Clock>,
) -> Result<(Db, tokio::sync::mpsc::Receiver<Vec<Envelope>>), StartError> {
    let service = definition.name;
    let embedded = config.is_embedded(service);
    if embedded {
        std::fs::create_dir_all(&config.data).map_err(|source| StartError::Data {
            folder: config.data.display().to_string(),
            source,
        })?;
    }
    let (db, committed) = Db::connect(
        service,
        config.database_url(service).expose_secret(),
        Arc::clone(clock),
    )
    .await?;
    let not_up_to_date = |why: String| StartError::Migration { service, why };
    if embedded {
        (definition.migrate)(db.writer())
            .await
            .map_err(|error| not_up_to_date(error.to_string()))?;
    }
    match (definition.pending)(db.writer()).await {
        Ok(0) => Ok((db, committed)),
        Ok(pending) => Err(not_up_to_date(format!(
            "{pending} migrations are pending; run `kopeck migrate up`"
        ))),
        Err(error) => Err(not_up_to_date(error.to_string())),
    }
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    // Handlers may ask where a client calls from.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the API is no longer served");
    }
}

struct Spawner {
    bus: Arc<dyn Bus>,
    stop: CancellationToken,
    background: TaskTracker,
}

impl Spawner {
    /// Declares the whole topology, for as long as it takes. The token is cancelled when it is
    /// done: no message may precede its queue.
    fn declare(&self) -> CancellationToken {
        let declared = CancellationToken::new();
        let (done, bus, stop) = (declared.clone(), Arc::clone(&self.bus), self.stop.clone());
        self.background.spawn(async move {
            loop {
                match bus.declare().await {
                    Ok(()) => return done.cancel(),
                    Err(error) => tracing::warn!(error = %error, "the message bus is waited for"),
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        });
        declared
    }
}

async fn after(ready: CancellationToken, stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = ready.cancelled() => work.await,
        () = stop.cancelled() => {}
    }
}

async fn repeat(job: Arc<dyn Job>, service: ServiceName, stop: CancellationToken) {
    let mut interval = tokio::time::interval(job.every());
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = job.run().await {
            tracing::warn!(%service, job = job.name(), error = %error, "a periodic job failed; it will be tried again");
        }
    }
}

/// What this process says itself wakes it without the way over the bus.
async fn hear_own(mut said: broadcast::Receiver<Arc<Envelope>>, on_wake: OnWake, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            envelope = said.recv() => match envelope {
                Ok(envelope) => on_wake(&envelope),
                // Who waits also looks by itself.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

async fn hear_others(bus: Arc<dyn Bus>, wake_up: &'static WakeUp, on_wake: OnWake, stop: CancellationToken) {
    let mut listener = loop {
        tokio::select! {
            () = stop.cancelled() => return,
            listener = bus.listen(wake_up) => match listener {
                Ok(listener) => break listener,
                Err(error) => tracing::warn!(%error, "wake-ups can't be heard yet"),
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            message = listener.next() => {
                if let Ok(envelope) = serde_json::from_slice::<Envelope>(&message.body) {
                    on_wake(&envelope);
                }
            }
        }
    }
}

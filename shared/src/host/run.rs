//! Start, run and stop.

use std::{fs::File, net::SocketAddr, sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Definition, Job, JobError, OnWake, Service,
    background::{Background, after, declare, hear_others, hear_own, repeat},
    clock::WatchClock,
    documents::Documents,
    health,
    hold::hold_data,
    metrics::{self, SampleMetrics},
    serve::{HEAD, serve},
};
use crate::{
    bus::{self, Bus, BusError},
    cache::{self, CacheError, ServiceCache},
    clock::Clock,
    config::Config,
    contracts::{Envelope, QUEUES, ServiceName, WAKE_UPS},
    db::{ConnectError, Db, TidyFile},
    facts::{self, FactsError, Purpose},
    http,
    inbox::{ForgetInbox, Handlers, Receiver, RetryInbox},
    operation,
    outbox::Relay,
    sessions::{EndedSessions, ForgetEndedSessions, LookForEndedSessions},
    telemetry,
    token::{self, TokenVerifier},
};

/// Why the services could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody is to hear what the service says.
    #[error("`--only` needs a message broker that the other services share: set `bus.url` to amqp://…")]
    OnlyNeedsBroker,
    /// A service that works with others has its data in a file of this machine.
    #[error(
        "`{0}.database_url` must be set where `bus.url` is a message broker: replicas can't share a file"
    )]
    BrokerNeedsDatabase(ServiceName),
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
    /// A database is another service's, another platform's or in another currency.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The bus URL is wrong.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The cache URL is wrong.
    #[error(transparent)]
    Cache(#[from] CacheError),
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
    /// A document can't be written.
    #[error("the description of the API can't be written as JSON")]
    Documents(#[source] serde_json::Error),
    /// The HTTP client could not be made.
    #[error("the HTTP client can't be made")]
    Client(#[from] reqwest::Error),
    /// Another platform runs on the same files.
    #[error(
        "the data folder {folder} is in use by another `kopeck run`: stop that one, or use another folder (`--data`)"
    )]
    DataInUse {
        /// Which.
        folder: String,
    },
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
    background: Background,
    databases: Vec<Db>,
    /// Its data folder, held.
    folder: Option<File>,
}

impl Running {
    /// Where the API is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when a part of the platform has ended or panicked though nobody stopped it. What
    /// is left is of no use; the log says what it was. The process should stop and be started
    /// again.
    pub async fn failed(&self) {
        self.background.failed().await;
    }

    /// Stops: no new requests, those that run are finished, what was said is sent, what has
    /// arrived is taken in; all in bounded time, under ten seconds.
    pub async fn stop(self) {
        self.background.stop(&self.databases).await;
        // Others may come now.
        drop(self.folder);
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
    let with_file = definitions
        .iter()
        .find(|definition| config.is_embedded(definition.name));
    if let Some(definition) = with_file
        && !config.bus_is_embedded()
    {
        return Err(StartError::BrokerNeedsDatabase(definition.name));
    }
    let folder = hold_data(&config, definitions)?;
    let running = start_on(bus, config, definitions, clock).await?;
    Ok(Running { folder, ..running })
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
    telemetry::metrics::install();
    let cache = cache::connect(config.cache.url.expose_secret(), &config.cache.namespace)?;
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

    // What is configured wrong is told before a database is waited for.
    let auth_url = auth_url(&config, definitions, address)?;
    let mut opened = Vec::new();
    for definition in definitions {
        opened.push(open(&config, *definition, &clock).await?);
    }
    let databases: Vec<_> = opened.iter().map(|(db, _)| db).collect();
    facts::agree(&databases, config.currency, Purpose::Run).await?;

    let tokens = Arc::new(TokenVerifier::new(
        format!("{auth_url}/auth/v1/jwks.json"),
        config.auth.issuer.clone(),
        reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            // Auth is a neighbour: a proxy for the way out does not know it.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?,
        // Where auth is in this process, the clock by which it issues tokens.
        databases.first().map_or(clock, |db| db.clock()),
    ));
    let config = Arc::new(config);
    let mut router = metrics::routes();
    let mut documents = Documents::default();
    let mut parts = Vec::new();
    for (definition, (db, committed)) in definitions.iter().zip(opened) {
        let database = facts::database_id(&db).await?;
        let cache = if config.cache_reaches_all() {
            ServiceCache::new(Arc::clone(&cache), definition.name, &database)
        } else {
            ServiceCache::of_one_among_many(Arc::clone(&cache), definition.name, &database)
        };
        let sessions = EndedSessions::default();
        let context = Context {
            config: Arc::clone(&config),
            db: db.clone(),
            cache: cache.clone(),
            clock: db.clock(),
            tokens: Arc::clone(&tokens),
            sessions: sessions.clone(),
            auth_url: auth_url.clone(),
        };
        let Service {
            api,
            guard,
            handlers,
            mut jobs,
            on_wake,
        } = (definition.build)(&context)
            .await
            .map_err(|source| StartError::Service {
                service: definition.name,
                source,
            })?;
        let look = LookForEndedSessions {
            db: db.clone(),
            sessions: sessions.clone(),
        };
        look.first().await.map_err(|source| StartError::Service {
            service: definition.name,
            source: source.into(),
        })?;
        jobs.push(Arc::new(look));
        jobs.push(Arc::new(ForgetEndedSessions {
            db: db.clone(),
            sessions,
        }));
        let (routes, document) = api.merge(operation::routes(db.clone(), guard)).split_for_parts();
        let routes = http::refuse_unknown_parameters(routes, &document);
        documents.add(definition.name, document);
        router = router
            .merge(routes)
            .merge(health::routes(definition.name, db.clone(), Arc::clone(&bus)));
        parts.push(Part {
            db,
            cache,
            committed,
            handlers: Arc::new(handlers),
            jobs,
            on_wake,
        });
    }

    let documents = documents.routes().map_err(StartError::Documents)?;
    let background = Background::new();
    let declared = CancellationToken::new();
    let receivers = &background.receivers;
    receivers.spawn(
        None,
        "topology",
        declare(Arc::clone(&bus), declared.clone(), receivers.stop.clone()),
    );
    let databases = parts.iter().map(|part| part.db.clone()).collect();
    for part in parts {
        part.spawn(&background, &bus, &declared);
    }
    let server = &background.server;
    server.spawn(
        None,
        "server",
        serve(
            listener,
            http::finish(router.merge(documents)),
            HEAD,
            server.stop.clone(),
        ),
    );
    Ok(Running {
        address,
        background,
        databases,
        folder: None,
    })
}

/// What a service does beside its API.
struct Part {
    db: Db,
    cache: ServiceCache,
    committed: mpsc::Receiver<Vec<Envelope>>,
    handlers: Arc<Handlers>,
    jobs: Vec<Arc<dyn Job>>,
    on_wake: Option<OnWake>,
}

impl Part {
    fn spawn(mut self, background: &Background, bus: &Arc<dyn Bus>, declared: &CancellationToken) {
        let Background {
            jobs,
            relays,
            receivers,
            ..
        } = background;
        let service = self.db.service();
        let relay = Relay::new(self.db.clone(), Arc::clone(bus), self.committed).run(relays.stop.clone());
        relays.spawn(
            Some(service),
            "relay",
            after(declared.clone(), relays.stop.clone(), relay),
        );
        for queue in QUEUES.iter().filter(|queue| queue.service == service) {
            let receiver = Receiver::new(
                self.db.clone(),
                Arc::clone(bus),
                queue,
                Arc::clone(&self.handlers),
            )
            .run(receivers.stop.clone());
            receivers.spawn(
                Some(service),
                "receiver",
                after(declared.clone(), receivers.stop.clone(), receiver),
            );
        }
        self.jobs.push(Arc::new(RetryInbox::new(
            self.db.clone(),
            Arc::clone(&self.handlers),
        )));
        self.jobs.push(Arc::new(ForgetInbox::new(self.db.clone())));
        self.jobs.push(Arc::new(SampleMetrics(self.db.clone())));
        self.jobs.push(Arc::new(WatchClock::new(self.db.clone())));
        let tidy = TidyFile(self.db.clone());
        if tidy.is_needed() {
            self.jobs.push(Arc::new(tidy));
        }
        for job in self.jobs {
            jobs.spawn(Some(service), "jobs", repeat(job, service, jobs.stop.clone()));
        }
        let Some(on_wake) = self.on_wake else {
            return;
        };
        let hear = hear_own(self.db.said(), Arc::clone(&on_wake), receivers.stop.clone());
        receivers.spawn(Some(service), "own wake-ups", hear);
        for wake_up in WAKE_UPS.iter().filter(|wake_up| wake_up.service == service) {
            let hear = hear_others(
                Arc::clone(bus),
                wake_up,
                Arc::clone(&on_wake),
                self.cache.clone(),
                receivers.stop.clone(),
            );
            receivers.spawn(
                Some(service),
                "wake-ups",
                after(declared.clone(), receivers.stop.clone(), hear),
            );
        }
    }
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
) -> Result<(Db, mpsc::Receiver<Vec<Envelope>>), StartError> {
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
    facts::check_owner(&db).await?;
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

//! The distributed platform on one machine: each service its own processes with its own
//! PostgreSQL database, RabbitMQ between them, and one address in front of all.
//!
//! For trying and for tests; in production this is the work of an orchestrator.

mod gateway;
mod process;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use sea_orm::{ConnectionTrait as _, Database};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::ServiceName,
    ids::new_uuid,
};
use tempfile::TempDir;

pub use process::ServiceProcess;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program that the processes run.
    pub program: PathBuf,
    /// A PostgreSQL server, as somebody who may create databases: `postgres://…/postgres`.
    pub postgres_url: String,
    /// A RabbitMQ server, as somebody who may use new virtual hosts: `amqp://…/%2f`.
    pub amqp_url: String,
    /// That server's management API, with credentials: `http://…`.
    pub rabbit_api: String,
    /// A Redis server; without one each process caches for itself.
    pub redis_url: Option<String>,
    /// Where the platform is served.
    pub listen: SocketAddr,
    /// Processes a service.
    pub replicas: usize,
    /// More configuration, as environment variables.
    pub environment: Vec<(String, String)>,
}

/// A distributed platform that runs. Dropping it ends its processes.
pub struct Cluster {
    address: SocketAddr,
    services: BTreeMap<ServiceName, Vec<ServiceProcess>>,
    environment: Vec<(String, String)>,
    gateway: tokio::task::JoinHandle<()>,
    folder: TempDir,
}

impl Cluster {
    /// Makes databases and a virtual host of its own, migrates, and starts every service.
    /// Returns when all are ready.
    ///
    /// # Errors
    /// When a server is not there, or a service does not become ready; with the end of its log.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder can't be made")?;
        let name = format!("k{}", new_uuid(SystemClock.now()).simple());
        let mut environment = setup.environment.clone();
        environment.extend(databases(&setup, &name).await?);
        environment.push(("KOPECK_BUS__URL".to_owned(), virtual_host(&setup, &name).await?));
        // What notifications shows auth: the same for both.
        environment.push((
            "KOPECK_NOTIFICATIONS__CLIENT_SECRET".to_owned(),
            crate::random::secret(),
        ));
        if let Some(redis) = &setup.redis_url {
            environment.push(("KOPECK_CACHE__URL".to_owned(), redis.clone()));
            environment.push(("KOPECK_CACHE__NAMESPACE".to_owned(), name.clone()));
        }

        process::run_to_end(&setup.program, &["migrate", "up"], &environment, folder.path()).await?;

        let mut services = BTreeMap::new();
        let auth = start_replicas(&setup, ServiceName::Auth, &environment, &folder).await?;
        let first = auth.first().context("a service needs at least one process")?;
        environment.push((
            "KOPECK_AUTH__URL".to_owned(),
            format!("http://{}", first.address()),
        ));
        services.insert(ServiceName::Auth, auth);
        let others = [
            ServiceName::Loyalty,
            ServiceName::Billing,
            ServiceName::Notifications,
        ];
        let started = futures::future::try_join_all(others.map(|service| {
            let (setup, environment, folder) = (&setup, &environment, &folder);
            async move {
                let replicas = start_replicas(setup, service, environment, folder).await?;
                anyhow::Ok((service, replicas))
            }
        }))
        .await?;
        services.extend(started);
        for process in services.values().flatten() {
            process.ready().await?;
        }

        let routes = services
            .iter()
            .map(|(service, replicas)| (*service, replicas.iter().map(ServiceProcess::address).collect()))
            .collect();
        let (address, gateway) = gateway::serve(setup.listen, Arc::new(routes)).await?;
        Ok(Self {
            address,
            services,
            environment,
            gateway,
            folder,
        })
    }

    /// Where the platform is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The configuration that its processes run with, for commands beside them.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The processes of `service`.
    pub fn processes(&mut self, service: ServiceName) -> &mut [ServiceProcess] {
        self.services.get_mut(&service).map_or(&mut [], Vec::as_mut_slice)
    }

    /// Where each process serves, without the gateway in between.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.services.values().flatten().map(ServiceProcess::address)
    }

    /// Where the processes run and log.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Stops every process as a shutdown would.
    ///
    /// # Errors
    /// When a process can't be stopped or did not end well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.gateway.abort();
        let processes: Vec<_> = std::mem::take(&mut self.services)
            .into_values()
            .flatten()
            .collect();
        futures::future::try_join_all(processes.into_iter().map(ServiceProcess::stop)).await?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.gateway.abort();
    }
}

async fn start_replicas(
    setup: &Setup,
    service: ServiceName,
    environment: &[(String, String)],
    folder: &TempDir,
) -> anyhow::Result<Vec<ServiceProcess>> {
    let mut replicas = Vec::with_capacity(setup.replicas);
    for number in 1..=setup.replicas {
        let log = folder.path().join(format!("{service}-{number}.log"));
        let process = ServiceProcess::start(&setup.program, service, environment, folder.path(), log).await?;
        replicas.push(process);
    }
    Ok(replicas)
}

/// A database a service; the variables that say so.
async fn databases(setup: &Setup, name: &str) -> anyhow::Result<Vec<(String, String)>> {
    let server = Database::connect(&setup.postgres_url)
        .await
        .context("PostgreSQL can't be reached")?;
    let (before, _) = setup
        .postgres_url
        .rsplit_once('/')
        .context("the PostgreSQL URL names no database")?;
    let mut variables = Vec::new();
    for service in ServiceName::ALL {
        server
            .execute_unprepared(&format!("CREATE DATABASE {name}_{service}"))
            .await?;
        let variable = format!("KOPECK_{}__DATABASE_URL", service.as_str().to_uppercase());
        variables.push((variable, format!("{before}/{name}_{service}")));
    }
    server.close().await?;
    Ok(variables)
}

/// A client for servers and processes of this machine: no proxy stands between, and what they
/// answer is taken as it is.
fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("the HTTP client can't be made")
}

/// A virtual host of its own; its URL.
async fn virtual_host(setup: &Setup, name: &str) -> anyhow::Result<String> {
    client()?
        .put(format!("{}/api/vhosts/{name}", setup.rabbit_api))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("RabbitMQ's management API does not make a virtual host")?;
    let (before, _) = setup
        .amqp_url
        .rsplit_once('/')
        .context("the RabbitMQ URL names no virtual host")?;
    Ok(format!("{before}/{name}"))
}

//! A platform that is started to be measured, and thrown away.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context as _;
use reqwest::Url;
use secrecy::SecretString;
use shared::contracts::ServiceName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use super::{
    program,
    subject::{Admin, Targets},
};
use crate::{
    cluster::{Cluster, Setup},
    servers::{Needs, Servers},
};

const ADMIN_EMAIL: &str = "bench@kopeck.example";
/// Of a platform that is gone in a minute.
const ADMIN_PASSWORD: &str = "the measure of all things";

/// In which a process has to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// All users of a benchmark register from one address.
const MANY_USERS: (&str, &str) = ("KOPECK_AUTH__MAX_REGISTRATIONS_PER_ADDRESS", "4294967295");

/// What would lead the embedded platform to somebody's servers.
const LEADS_ELSEWHERE: [&str; 6] = [
    "KOPECK_AUTH__DATABASE_URL",
    "KOPECK_LOYALTY__DATABASE_URL",
    "KOPECK_BILLING__DATABASE_URL",
    "KOPECK_NOTIFICATIONS__DATABASE_URL",
    "KOPECK_BUS__URL",
    "KOPECK_AUTH__URL",
];

/// A throw-away platform. Dropping it ends its processes.
pub(super) struct ThrowAway {
    parts: Parts,
    program: PathBuf,
}

enum Parts {
    Embedded {
        process: Box<Child>,
        address: SocketAddr,
        folder: TempDir,
    },
    /// Dropped in order: services before servers.
    Distributed {
        cluster: Box<Cluster>,
        servers: Box<Servers>,
    },
}

impl ThrowAway {
    /// Everything in one process, which is another one than this, so that what it uses can be told
    /// from what the clients use.
    pub(super) async fn embedded() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder can't be made")?;
        let program = program()?;
        let log_file = folder.path().join("log");
        let log = std::fs::File::create(&log_file)?;
        let mut process = embedded_command(&program, &folder)
            .args(["run", "--listen", "127.0.0.1:0", "--until-input-ends"])
            // A Ctrl-C in the terminal is for us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("the platform can't be started")?;
        let output = process.stdout.take().context("the platform has no output")?;
        let mut lines = BufReader::new(output).lines();
        let find = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, address)) = line.split_once("API   http://") {
                    return Ok(address.trim().parse()?);
                }
            }
            let log = std::fs::read_to_string(&log_file).unwrap_or_default();
            anyhow::bail!("the platform did not start:\n{log}")
        };
        let address = tokio::time::timeout(PATIENCE, find)
            .await
            .context("the platform does not start")??;
        // Somebody must read on, or the process would block when the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let parts = Parts::Embedded {
            process: Box::new(process),
            address,
            folder,
        };
        Ok(Self { parts, program })
    }

    /// So many processes a service, with PostgreSQL, RabbitMQ and Redis of their own.
    pub(super) async fn distributed(replicas: usize) -> anyhow::Result<Self> {
        let servers = Box::new(Servers::start(Needs::ALL).await?);
        let program = program()?;
        let setup = Setup {
            program: program.clone(),
            postgres_url: servers.postgres()?.url(),
            amqp_url: servers.rabbitmq()?.url(),
            rabbit_api: servers.rabbitmq()?.api(),
            redis_url: Some(servers.redis()?.url()),
            listen: ([127, 0, 0, 1], 0).into(),
            replicas,
            environment: vec![(MANY_USERS.0.to_owned(), MANY_USERS.1.to_owned())],
        };
        let cluster = Box::new(Cluster::start(setup).await?);
        let parts = Parts::Distributed { cluster, servers };
        Ok(Self { parts, program })
    }

    /// The services' own addresses: what stands in front of them in a distributed platform lives in
    /// this process, and would be measured along.
    pub(super) fn targets(&mut self) -> anyhow::Result<Targets> {
        let mut of = |service| -> anyhow::Result<Vec<Url>> {
            let addresses = match &mut self.parts {
                Parts::Embedded { address, .. } => vec![*address],
                Parts::Distributed { cluster, .. } => {
                    let processes = cluster.processes(service).iter();
                    processes.map(|process| process.address()).collect()
                }
            };
            addresses
                .into_iter()
                .map(|address| Url::parse(&format!("http://{address}")).context("an address is no URL"))
                .collect()
        };
        Ok(Targets {
            auth: of(ServiceName::Auth)?,
            loyalty: of(ServiceName::Loyalty)?,
            billing: of(ServiceName::Billing)?,
        })
    }

    /// An administrator, made as everybody makes the first one.
    pub(super) async fn make_admin(&self) -> anyhow::Result<Admin> {
        let mut child = self
            .command()
            .args(["admin", "create", "--email", ADMIN_EMAIL])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("no administrator can be made")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(ADMIN_PASSWORD.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        anyhow::ensure!(
            output.status.success(),
            "no administrator can be made: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Admin {
            email: ADMIN_EMAIL.to_owned(),
            password: SecretString::from(ADMIN_PASSWORD),
        })
    }

    /// Its PostgreSQL, as somebody who may create databases.
    pub(super) fn postgres_url(&self) -> Option<String> {
        match &self.parts {
            Parts::Embedded { .. } => None,
            Parts::Distributed { servers, .. } => Some(servers.postgres().ok()?.url()),
        }
    }

    /// The program with the platform's configuration, for a command beside it.
    pub(super) fn command(&self) -> Command {
        match &self.parts {
            Parts::Embedded { folder, .. } => embedded_command(&self.program, folder),
            Parts::Distributed { cluster, .. } => {
                let mut command = Command::new(&self.program);
                command
                    .envs(cluster.environment().iter().cloned())
                    .current_dir(cluster.folder())
                    .kill_on_drop(true);
                command
            }
        }
    }

    /// Stops it as a shutdown would.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        match self.parts {
            Parts::Embedded {
                mut process, folder, ..
            } => {
                // The end of its input tells it to stop.
                drop(process.stdin.take());
                let status = tokio::time::timeout(PATIENCE, process.wait())
                    .await
                    .context("the platform does not stop")??;
                anyhow::ensure!(status.success(), "the platform ended with {status}");
                drop(folder);
                Ok(())
            }
            Parts::Distributed { cluster, servers } => {
                let stopped = cluster.stop().await;
                servers.stop().await;
                stopped
            }
        }
    }
}

/// The program on the data in that folder, and on nobody's servers.
fn embedded_command(program: &PathBuf, folder: &TempDir) -> Command {
    let mut command = Command::new(program);
    for variable in LEADS_ELSEWHERE {
        command.env_remove(variable);
    }
    command
        .arg("--data")
        .arg(folder.path())
        .env(MANY_USERS.0, MANY_USERS.1)
        .current_dir(folder.path())
        .kill_on_drop(true);
    command
}

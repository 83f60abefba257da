//! What can be asked of the program, one command a module.

mod admin;
mod bench;
mod client;
mod cluster;
mod contracts;
mod demo;
mod health;
mod keys;
mod migrate;
mod parked;
mod reconcile;
mod run;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::ExposeSecret as _;
use shared::{
    clock::SystemClock,
    config::Config,
    contracts::ServiceName,
    db::Db,
    facts::{self, Purpose},
};

use crate::servers;

/// Self-hosted loyalty, promocode and billing platform.
///
/// Without a command it runs everything in one process, with its data in ./data.
#[derive(Debug, Parser)]
#[command(name = "kopeck", version)]
pub struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Options {
    /// The configuration file (TOML); ./kopeck.toml is read if it is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the embedded databases
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the platform, or some of its services
    Run {
        /// Where the API is served
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Run this service alone; may be repeated. Needs a message broker
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Only>,
        /// Stop when standard input ends, as it does when the parent process is gone
        #[arg(long)]
        until_input_ends: bool,
    },
    /// Bring the databases up to date, or show how they stand
    Migrate {
        #[command(subcommand)]
        action: Migrate,
    },
    /// Administrators
    Admin {
        #[command(subcommand)]
        action: Admin,
    },
    /// Programs that call by themselves
    Client {
        #[command(subcommand)]
        action: client::Client,
    },
    /// Keys that tokens are signed with
    Keys {
        #[command(subcommand)]
        action: keys::Keys,
    },
    /// Recompute balances, and compare purchases with redemptions, letters and subscriptions, and replicas
    /// with their owners
    Reconcile {
        /// Leave out purchases that ended less than this many seconds ago, which may still be on
        /// their way through the services; the purchase deadline and half a minute, if not given
        #[arg(long, value_name = "SECONDS")]
        older_than: Option<u32>,
        /// Have the owners announce again what other services lack: users, tariffs, ended sessions, and
        /// outcomes of purchases. Services that have it already ignore it
        #[arg(long)]
        repair: bool,
    },
    /// Messages that could not be applied and wait for a decision
    Parked {
        #[command(subcommand)]
        action: parked::Parked,
    },
    /// Ask a running platform, or some of its services, whether it is ready; fails if it is not
    Health {
        /// Where it is; this machine's at the port of `listen`, if not given
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Only this service; may be repeated
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Only>,
    },
    /// Show the whole story on a throw-away platform
    Demo,
    /// Write the machine-readable contracts: OpenAPI, AsyncAPI and JSON Schema
    Contracts {
        /// The folder to write them to: `docs/api`
        folder: PathBuf,
    },
    /// Run the distributed platform on this machine, on private servers, for trying
    Cluster {
        /// Where the API is served
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// Measure how fast a platform is and what it costs
    ///
    /// Without options it starts a throw-away distributed platform on this machine, with PostgreSQL,
    /// RabbitMQ and Redis of its own, lets 16 clients buy, validate and log in for 15 seconds each,
    /// measures the same purchases as raw SQL in one transaction on the same PostgreSQL, reconciles
    /// the books, prints a table and clears everything away. That takes some minutes.
    ///
    /// It fails if any operation failed or the books are wrong.
    Bench(bench::BenchOptions),
    /// Run a command beside private PostgreSQL, RabbitMQ and Redis, for tests
    Servers {
        /// The command; without one, the servers run until Ctrl-C
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Bring the databases up to date
    Up {
        /// Only this service's; may be repeated
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Only>,
    },
    /// Show which migrations were applied
    Status {
        /// Only this service's; may be repeated
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Only>,
    },
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Create an administrator; the password is read from standard input
    Create {
        /// The administrator's e-mail address
        #[arg(long)]
        email: String,
    },
}

/// A service, as the command line names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    Auth,
    Loyalty,
    Billing,
    Notifications,
}

impl From<Only> for ServiceName {
    fn from(only: Only) -> Self {
        match only {
            Only::Auth => Self::Auth,
            Only::Loyalty => Self::Loyalty,
            Only::Billing => Self::Billing,
            Only::Notifications => Self::Notifications,
        }
    }
}

/// Those services, or all where none is named.
fn services(only: &[Only]) -> Vec<ServiceName> {
    if only.is_empty() {
        return ServiceName::ALL.to_vec();
    }
    let mut services: Vec<_> = only.iter().copied().map(ServiceName::from).collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// Does what the command line asks for.
///
/// # Errors
/// Whatever kept it from being done, for people to read.
pub async fn execute(line: CommandLine) -> anyhow::Result<ExitCode> {
    shared::host::install_crypto();
    let options = line.options;
    match line.command {
        None => run::run(load(&options)?, &[], &options, false).await,
        Some(Command::Run {
            listen,
            only,
            until_input_ends,
        }) => {
            let mut config = load(&options)?;
            config.listen = listen.unwrap_or(config.listen);
            run::run(config, &only, &options, until_input_ends).await
        }
        Some(Command::Migrate {
            action: Migrate::Up { only },
        }) => migrate::up(&load(&options)?, &only).await,
        Some(Command::Migrate {
            action: Migrate::Status { only },
        }) => migrate::status(&load(&options)?, &only).await,
        Some(Command::Admin {
            action: Admin::Create { email },
        }) => admin::create(&load(&options)?, &email).await,
        Some(Command::Client { action }) => client::client(&load(&options)?, action).await,
        Some(Command::Keys { action }) => keys::keys(&load(&options)?, action).await,
        Some(Command::Reconcile { older_than, repair }) => {
            reconcile::reconcile(&load(&options)?, older_than, repair).await
        }
        Some(Command::Parked { action }) => parked::parked(&load(&options)?, &action).await,
        Some(Command::Health { url, only }) => health::health(&load(&options)?, url, &only).await,
        Some(Command::Demo) => demo::demo().await,
        Some(Command::Contracts { folder }) => contracts::contracts(&folder).await,
        Some(Command::Cluster { listen }) => cluster::cluster(listen).await,
        Some(Command::Bench(options)) => bench::bench(options).await,
        Some(Command::Servers { command }) => servers::run(&command).await,
    }
}

fn load(options: &Options) -> anyhow::Result<Config> {
    let mut config = Config::load(options.config.as_deref())?;
    if let Some(data) = &options.data {
        config.data.clone_from(data);
        config.check()?;
    }
    Ok(config)
}

/// The database of `service`, for a command beside the services.
async fn open(config: &Config, service: ServiceName) -> anyhow::Result<Db> {
    if config.is_embedded(service) {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    }
    let url = config.database_url(service);
    let (db, _) = Db::connect(service, url.expose_secret(), Arc::new(SystemClock)).await?;
    facts::check_owner(&db).await?;
    Ok(db)
}

/// The same, up to date: an embedded one is brought there, any other must be.
async fn open_up_to_date(config: &Config, service: ServiceName) -> anyhow::Result<Db> {
    let db = open(config, service).await?;
    if config.is_embedded(service) {
        migration::up(service, db.writer()).await?;
    }
    let pending = migration::pending(service, db.writer()).await?;
    anyhow::ensure!(
        pending == 0,
        "the database of {service} lacks {pending} migrations: run `kopeck migrate up`"
    );
    facts::agree(&[&db], config.currency, Purpose::Command).await?;
    Ok(db)
}

/// The same for a command that only looks: nothing is made and nothing is migrated.
async fn open_existing(config: &Config, service: ServiceName) -> anyhow::Result<Db> {
    let url = config.database_url(service);
    let db = Db::open_existing(service, url.expose_secret(), Arc::new(SystemClock)).await?;
    facts::check_owner(&db).await?;
    let pending = migration::pending(service, db.reader()).await?;
    anyhow::ensure!(
        pending == 0,
        "the database of {service} lacks {pending} migrations: run `kopeck migrate up`"
    );
    facts::agree(&[&db], config.currency, Purpose::Command).await?;
    Ok(db)
}

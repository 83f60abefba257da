//! What is to be measured, as the command line says it.

use std::{fs::File, io::Write as _, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use serde::Serialize;
use shared::contracts::ServiceName;

use super::{load::Window, report::Report, scenario::Scenario, subject::Targets, table};
use crate::commands::admin::read_password;

/// The options of `kopeck bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchOptions {
    /// A running platform, http://HOST:PORT, or one of its services, SERVICE=http://HOST:PORT; may
    /// be repeated, and then clients take turns. Without it a throw-away platform is measured. What
    /// the benchmark makes there (users, campaigns, purchases named bench-…) stays
    #[arg(long, value_name = "[SERVICE=]URL", requires = "admin_email")]
    url: Vec<Address>,
    /// An administrator of the running platform; the password is read from standard input
    #[arg(long, value_name = "EMAIL", requires = "url")]
    admin_email: Option<String>,
    /// What throw-away platform is measured
    #[arg(long, value_enum, default_value_t = Kind::Distributed, conflicts_with = "url")]
    platform: Kind,
    /// Processes of each service in the throw-away distributed platform [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "url", value_parser = clap::value_parser!(u16).range(1..=16))]
    replicas: Option<u16>,
    /// What is measured; may be repeated [default: all]
    #[arg(long, value_enum, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// Clients at work at the same time, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// For how long each scenario is measured
    #[arg(long, value_name = "S", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// For how long each scenario runs before it is measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=600))]
    warm_up: u32,
    /// Promocodes in the scenario `many`, each with a limit of its own
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    codes: u32,
    /// Users of each client, who take turns
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    users_per_client: u16,
    /// A PostgreSQL server for the comparison with raw SQL, as somebody who may create databases:
    /// postgres://USER:PASSWORD@HOST/postgres. The throw-away distributed platform's own, if not given
    #[arg(long, value_name = "URL", value_parser = postgres_url)]
    postgres_url: Option<SecretString>,
    /// Leave out the comparison with raw SQL
    #[arg(long, conflicts_with = "postgres_url")]
    no_raw_sql: bool,
    /// Write everything that was measured to this file as JSON; `-` is the standard output, in place
    /// of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn postgres_url(text: &str) -> Result<SecretString, &'static str> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        Ok(SecretString::from(text))
    } else {
        Err("it must be postgres://USER:PASSWORD@HOST/DATABASE")
    }
}

/// What a throw-away platform is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// One process, on SQLite and the embedded bus
    Embedded,
    /// A process a service, on PostgreSQL, RabbitMQ and Redis of its own
    Distributed,
}

/// Where a service, or all of them, are served.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    /// All of them, if none is named.
    service: Option<ServiceName>,
    url: reqwest::Url,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('=').and_then(|(name, url)| {
            let service = ServiceName::ALL
                .into_iter()
                .find(|service| service.as_str() == name)?;
            Some((service, url))
        });
        let (service, url) = match named {
            Some((service, url)) => (Some(service), url),
            None => (None, text),
        };
        let wrong = "it must be http://HOST:PORT, or SERVICE=http://HOST:PORT with a service of auth, \
                     loyalty, billing, notifications";
        let url = reqwest::Url::parse(url).map_err(|error| format!("{error}; {wrong}"))?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        if plain {
            Ok(Self { service, url })
        } else {
            Err(wrong.to_owned())
        }
    }
}

/// What is to be done, checked.
pub(super) struct Plan {
    pub(super) platform: Choice,
    /// Without repetitions, in the order in which they are measured.
    pub(super) scenarios: Vec<Scenario>,
    pub(super) clients: usize,
    pub(super) window: Window,
    pub(super) codes: u32,
    pub(super) users_per_client: usize,
    pub(super) raw_sql: bool,
    /// The server for raw SQL, if it is not the platform's own.
    pub(super) postgres_url: Option<SecretString>,
    pub(super) output: Output,
}

/// Which platform is measured.
pub(super) enum Choice {
    /// One that is started for it.
    ThrowAway { kind: Kind, replicas: usize },
    /// One that runs already.
    Running {
        targets: Targets,
        admin_email: String,
        password: SecretString,
    },
}

/// Where the figures go.
pub(super) struct Output {
    json: Option<PathBuf>,
}

impl BenchOptions {
    /// Checks them, and reads the administrator's password where there is one.
    pub(super) async fn into_plan(self) -> anyhow::Result<Plan> {
        let output = Output {
            json: self.json.clone(),
        };
        output.check()?;
        let mut scenarios = self.scenario.clone();
        if scenarios.is_empty() {
            scenarios = Scenario::value_variants().to_vec();
        }
        scenarios.sort_unstable();
        scenarios.dedup();
        Ok(Plan {
            platform: self.choice().await?,
            scenarios,
            clients: self.clients.into(),
            window: Window {
                warm_up: Duration::from_secs(self.warm_up.into()),
                measured: Duration::from_secs(self.seconds.into()),
            },
            codes: self.codes,
            users_per_client: self.users_per_client.into(),
            raw_sql: !self.no_raw_sql,
            postgres_url: self.postgres_url,
            output,
        })
    }

    async fn choice(&self) -> anyhow::Result<Choice> {
        let Some(admin_email) = self.admin_email.clone() else {
            anyhow::ensure!(
                self.platform == Kind::Distributed || self.replicas.is_none(),
                "--replicas needs --platform distributed: the embedded platform is one process"
            );
            return Ok(Choice::ThrowAway {
                kind: self.platform,
                replicas: self.replicas.unwrap_or(1).into(),
            });
        };
        let targets = self.targets()?;
        Ok(Choice::Running {
            targets,
            admin_email,
            password: tokio::task::spawn_blocking(read_password).await??,
        })
    }

    fn targets(&self) -> anyhow::Result<Targets> {
        let urls_of = |service| -> Vec<_> {
            let named = |address: &&Address| address.service.is_none_or(|named| named == service);
            self.url
                .iter()
                .filter(named)
                .map(|address| address.url.clone())
                .collect()
        };
        let targets = Targets {
            auth: urls_of(ServiceName::Auth),
            loyalty: urls_of(ServiceName::Loyalty),
            billing: urls_of(ServiceName::Billing),
        };
        for (service, urls) in targets.by_service() {
            anyhow::ensure!(
                !urls.is_empty(),
                "nothing says where {service} is: --url {service}=http://HOST:PORT is missing"
            );
        }
        Ok(targets)
    }
}

impl Output {
    /// Whether the figures can be written; better known before they are measured.
    fn check(&self) -> anyhow::Result<()> {
        match self.file() {
            Some(path) => File::options()
                .create(true)
                .append(true)
                .open(path)
                .map(drop)
                .with_context(|| format!("{} can't be written", path.display())),
            None => Ok(()),
        }
    }

    fn file(&self) -> Option<&PathBuf> {
        self.json.as_ref().filter(|path| path.as_os_str() != "-")
    }

    /// Writes the figures.
    pub(super) fn write(&self, report: &Report) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(report)?;
        let mut stdout = std::io::stdout().lock();
        match (self.file(), &self.json) {
            (None, Some(_)) => writeln!(stdout, "{json}")?,
            (None, None) => write!(stdout, "{}", table::of(report))?,
            (Some(path), _) => {
                write!(stdout, "{}", table::of(report))?;
                std::fs::write(path, json + "\n")
                    .with_context(|| format!("{} can't be written", path.display()))?;
            }
        }
        Ok(())
    }
}

/// The cores that this program may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: BenchOptions,
    }

    fn parse(arguments: &[&str]) -> Result<BenchOptions, String> {
        let line = ["bench"].iter().chain(arguments);
        Line::try_parse_from(line)
            .map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    fn urls(urls: &[reqwest::Url]) -> Vec<&str> {
        urls.iter().map(reqwest::Url::as_str).collect()
    }

    #[tokio::test]
    async fn by_default_everything_is_measured_on_a_throw_away_distributed_platform() {
        let plan = parse(&[]).unwrap().into_plan().await.unwrap();
        assert!(matches!(
            plan.platform,
            Choice::ThrowAway {
                kind: Kind::Distributed,
                replicas: 1
            }
        ));
        let names: Vec<_> = plan.scenarios.iter().map(|scenario| scenario.as_str()).collect();
        assert_eq!(names, ["hot", "many", "plain", "validate", "login"]);
        assert_eq!(
            (plan.clients, plan.codes, plan.users_per_client),
            (16, 10_000, 16)
        );
        assert!(plan.raw_sql);
    }

    #[tokio::test]
    async fn a_scenario_named_twice_is_measured_once() {
        let options = parse(&["--scenario", "login", "--scenario", "hot", "--scenario", "login"]);
        let plan = options.unwrap().into_plan().await.unwrap();
        assert_eq!(plan.scenarios, [Scenario::Hot, Scenario::Login]);
    }

    #[test]
    fn addresses_belong_to_all_services_or_to_the_one_they_name() {
        let options = parse(&[
            "--admin-email=a@b.example",
            "--url=http://all:8080",
            "--url=billing=http://b:1",
            "--url=billing=http://b:2",
        ])
        .unwrap();
        let targets = options.targets().unwrap();
        assert_eq!(urls(&targets.auth), ["http://all:8080/"]);
        assert_eq!(
            urls(&targets.billing),
            ["http://all:8080/", "http://b:1/", "http://b:2/"]
        );
    }

    #[test]
    fn a_service_without_an_address_is_named() {
        let options = parse(&["--admin-email=a@b.example", "--url=auth=http://a:1"]).unwrap();
        let error = options.targets().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("--url loyalty="), "{error}");
    }

    #[tokio::test]
    async fn what_does_not_go_together_is_refused() {
        for (arguments, named) in [
            (&["--url=http://a:1"][..], "--admin-email"),
            (&["--admin-email=a@b.example"], "--url"),
            (&["--url=a:1", "--admin-email=x"], "SERVICE=http://HOST:PORT"),
            (
                &["--url=billing=ftp://a", "--admin-email=x"],
                "SERVICE=http://HOST:PORT",
            ),
            (
                &["--url=http://a/v1", "--admin-email=x"],
                "SERVICE=http://HOST:PORT",
            ),
            (
                &["--url=biling=http://a", "--admin-email=x"],
                "SERVICE=http://HOST:PORT",
            ),
            (
                &["--url=http://a", "--admin-email=x", "--platform=embedded"],
                "--platform",
            ),
            (&["--clients=0"], "clients"),
            (&["--seconds=0"], "seconds"),
            (&["--scenario=cold"], "cold"),
            (
                &["--no-raw-sql", "--postgres-url=postgres://a/b"],
                "--postgres-url",
            ),
        ] {
            let error = parse(arguments).map(|_| ()).unwrap_err();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
        for (arguments, named) in [
            (&["--platform=embedded", "--replicas=2"][..], "--replicas"),
            (&["--json=/nowhere/at/all.json"], "/nowhere/at/all.json"),
        ] {
            let options = parse(arguments).unwrap();
            let error = options.into_plan().await.map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }
}

//! Configuration: a TOML file and the environment, read in this one place.
//!
//! Every key has a default that suits one process on one machine. A key that does not exist is
//! refused, so that a typing mistake does not silently leave a default in force.

mod auth;
mod billing;
mod error;
mod loyalty;
mod network;
mod notifications;
mod url;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use iso_currency::Currency;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

pub use auth::AuthConfig;
pub use billing::{BillingConfig, SandboxMode};
pub use error::ConfigError;
use error::wrong;
pub use loyalty::LoyaltyConfig;
pub use network::Network;
pub use notifications::{CLIENT_SECRET_FOR_TRYING, NotificationsConfig};
pub(crate) use url::{is_plain_server_url, scheme_of};

use crate::{bus, cache, contracts::ServiceName, db, zone::Zone};

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "kopeck.toml";

/// All that can be configured. In the environment `billing.database_url` is
/// `KOPECK_BILLING__DATABASE_URL`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the API is served.
    #[serde(deserialize_with = "value::address")]
    pub listen: SocketAddr,
    /// The folder of the embedded databases.
    pub data: PathBuf,
    /// What this installation is for; production refuses what is only for trying.
    pub environment: Environment,
    /// The one currency of the platform, ISO 4217.
    #[serde(deserialize_with = "value::currency")]
    pub currency: Currency,
    /// The time zone of users who have none of their own, by its name in the IANA database: by its
    /// calendar their subscriptions are counted, and on its clocks letters tell the time.
    pub time_zone: Zone,
    /// The message bus.
    pub bus: BusConfig,
    /// The cache.
    pub cache: CacheConfig,
    /// The log.
    pub log: LogConfig,
    /// Where errors are reported.
    pub sentry: SentryConfig,
    /// Accounts.
    pub auth: AuthConfig,
    /// Promocodes.
    pub loyalty: LoyaltyConfig,
    /// Wallets and purchases.
    pub billing: BillingConfig,
    /// Letters.
    pub notifications: NotificationsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: PathBuf::from("data"),
            environment: Environment::default(),
            currency: Currency::RUB,
            time_zone: Zone::UTC,
            bus: BusConfig::default(),
            cache: CacheConfig::default(),
            log: LogConfig::default(),
            sentry: SentryConfig::default(),
            auth: AuthConfig::default(),
            loyalty: LoyaltyConfig::default(),
            billing: BillingConfig::default(),
            notifications: NotificationsConfig::default(),
        }
    }
}

/// What an installation is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Environment {
    /// Trying and testing.
    #[default]
    Development,
    /// Real users and real money.
    Production,
}

/// The message bus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// `embedded:` or `amqp://USER:PASSWORD@HOST:PORT/VHOST`.
    pub url: SecretString,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: SecretString::from("embedded:"),
        }
    }
}

/// The cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// `embedded:` (unused where a broker lets there be several processes) or `redis://USER:PASSWORD@HOST:PORT/NUMBER` (shared by
    /// all). Losing it loses nothing.
    pub url: SecretString,
    /// What keys begin with. Platforms that share a Redis need different ones.
    pub namespace: String,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            url: SecretString::from("embedded:"),
            namespace: "kopeck".to_owned(),
        }
    }
}

/// Where errors are reported.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SentryConfig {
    /// A Sentry DSN, `https://KEY@HOST/PROJECT`; absent means that errors are only in the log.
    pub dsn: Option<SecretString>,
}

/// The log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged: `info`, or `warn,billing=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info,sqlx=warn,sea_orm_migration=warn,lapin=error".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads `file` (or [`DEFAULT_FILE`], if there is one) and the environment, which wins.
    ///
    /// # Errors
    /// When a named file is missing, or anything in it is unknown or wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let named = match file {
            Some(path) => config::File::from(path)
                .format(config::FileFormat::Toml)
                .required(true),
            None => config::File::new(DEFAULT_FILE, config::FileFormat::Toml).required(false),
        };
        let environment = config::Environment::with_prefix("KOPECK")
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(false);
        let config: Self = config::Config::builder()
            .add_source(named)
            .add_source(environment)
            .build()?
            .try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    /// Holds the values against each other.
    ///
    /// # Errors
    /// The first that can't be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in self.texts() {
            if value.is_some_and(str::is_empty) {
                return wrong(key, "it is empty; leave it out to have the default");
            }
        }
        self.auth.check()?;
        self.billing.check(self.environment)?;
        self.loyalty.check()?;
        self.notifications.check(self.environment)
    }

    /// What may be any text, but an empty one. An empty variable is mostly one that somebody
    /// forgot to fill.
    fn texts(&self) -> [(&'static str, Option<&str>); 17] {
        fn secret(text: Option<&SecretString>) -> Option<&str> {
            text.map(|text| text.expose_secret())
        }
        [
            ("data", self.data.to_str()),
            ("bus.url", secret(Some(&self.bus.url))),
            ("cache.url", secret(Some(&self.cache.url))),
            ("cache.namespace", Some(&self.cache.namespace)),
            ("log.filter", Some(&self.log.filter)),
            ("sentry.dsn", secret(self.sentry.dsn.as_ref())),
            ("auth.url", self.auth.url.as_deref()),
            ("auth.issuer", Some(&self.auth.issuer)),
            ("auth.database_url", secret(self.auth.database_url.as_ref())),
            ("loyalty.database_url", secret(self.loyalty.database_url.as_ref())),
            ("billing.database_url", secret(self.billing.database_url.as_ref())),
            (
                "billing.sandbox_webhook_secret",
                secret(self.billing.sandbox_webhook_secret.as_ref()),
            ),
            (
                "notifications.database_url",
                secret(self.notifications.database_url.as_ref()),
            ),
            (
                "notifications.client_secret",
                secret(self.notifications.client_secret.as_ref()),
            ),
            (
                "notifications.mail_url",
                secret(self.notifications.mail_url.as_ref()),
            ),
            ("notifications.mail_from", self.notifications.mail_from.as_deref()),
            (
                "notifications.public_url",
                self.notifications.public_url.as_deref(),
            ),
        ]
    }

    /// The database of `service`: as configured, else a file in the data folder.
    #[must_use]
    pub fn database_url(&self, service: ServiceName) -> SecretString {
        let configured = match service {
            ServiceName::Auth => &self.auth.database_url,
            ServiceName::Loyalty => &self.loyalty.database_url,
            ServiceName::Billing => &self.billing.database_url,
            ServiceName::Notifications => &self.notifications.database_url,
        };
        configured
            .clone()
            .unwrap_or_else(|| SecretString::from(db::url_of_file(&self.data.join(format!("{service}.db")))))
    }

    /// Whether that database is a file of this machine, which nobody else will migrate.
    #[must_use]
    pub fn is_embedded(&self, service: ServiceName) -> bool {
        db::is_file(self.database_url(service).expose_secret())
    }

    /// Whether all replicas of a service have one cache: where there is but one process, or it is
    /// on a server.
    #[must_use]
    pub fn cache_reaches_all(&self) -> bool {
        self.bus_is_embedded() || !cache::is_embedded(self.cache.url.expose_secret())
    }

    /// Whether messages stay within this process.
    #[must_use]
    pub fn bus_is_embedded(&self) -> bool {
        bus::is_embedded(self.bus.url.expose_secret())
    }
}

#[cfg(test)]
mod tests;

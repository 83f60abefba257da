//! Configuration: a TOML file and the environment, read in this one place.
//!
//! Every key has a default that suits one process on one machine. A key that does not exist is
//! refused, so that a typing mistake does not silently leave a default in force.

mod error;
mod network;
mod url;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use iso_currency::Currency;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

pub use error::ConfigError;
pub use network::Network;
pub(crate) use url::{is_plain_server_url, scheme_of};

use crate::{bus, cache, contracts::ServiceName, db};

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

/// Accounts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
    /// Where the other services reach auth: `http://auth:8080`. Absent means this process.
    pub url: Option<String>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// For how long an access token is good, in seconds.
    pub access_token_seconds: u32,
    /// For how long a refresh token is good, in seconds: who does not come back within that logs in anew.
    pub refresh_token_seconds: u32,
    /// Failed logins to one account from one address within a quarter of an hour, after which that
    /// address has to wait.
    pub max_failed_logins: u32,
    /// The same from one address to whatever accounts.
    pub max_failed_logins_per_address: u32,
    /// Registrations from one address within a quarter of an hour, whatever comes of them, after which
    /// it has to wait.
    pub max_registrations_per_address: u32,
    /// Letters that are asked for from one address within a quarter of an hour, for whatever accounts,
    /// after which it has to wait.
    pub max_letters_per_address: u32,
    /// Reverse proxies whose `X-Forwarded-For` is believed: addresses and networks (`10.0.0.0/8`),
    /// in the environment separated by commas.
    #[serde(deserialize_with = "value::networks")]
    pub trusted_proxies: Vec<Network>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            database_url: None,
            url: None,
            issuer: "kopeck".to_owned(),
            access_token_seconds: 900,
            refresh_token_seconds: 30 * 86_400,
            max_failed_logins: 10,
            max_failed_logins_per_address: 100,
            max_registrations_per_address: 100,
            max_letters_per_address: 30,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Promocodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoyaltyConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
}

/// Wallets and purchases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BillingConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
    /// After how many seconds a purchase without an answer about its promocode fails.
    pub purchase_deadline_seconds: u32,
    /// Whether the `sandbox` payment provider, which approves at once, is on. Refused in production.
    pub sandbox: Option<bool>,
    /// When the `sandbox` decides.
    pub sandbox_mode: SandboxMode,
    /// With what the webhooks of the `sandbox` are signed; without it, it takes none.
    pub sandbox_webhook_secret: Option<SecretString>,
    /// How many minutes there are between two times that billing holds its own books.
    pub reconcile_minutes: u32,
    /// How many days before its end a user is told that a subscription ends. Of one that is no longer
    /// than that they are not told, so it is less than any month.
    pub ending_notice_days: u32,
}

impl Default for BillingConfig {
    fn default() -> Self {
        Self {
            database_url: None,
            purchase_deadline_seconds: 30,
            sandbox: None,
            sandbox_mode: SandboxMode::default(),
            sandbox_webhook_secret: None,
            reconcile_minutes: 60,
            ending_notice_days: 3,
        }
    }
}

/// What can be guessed is no secret.
const SHORTEST_SECRET: usize = 16;

/// The shortest `notifications.client_secret`: whoever has it reads the secrets that reset passwords.
const SHORTEST_CLIENT_SECRET: usize = 32;

/// The `notifications.client_secret` that `docker compose` takes where none is set, which everybody
/// knows.
pub const CLIENT_SECRET_FOR_TRYING: &str = "trying-only-and-long-enough-to-be-one";

/// When the `sandbox` payment provider decides about a top-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SandboxMode {
    /// At once.
    #[default]
    Immediate,
    /// When a signed webhook says what it decides, as real providers do.
    Asynchronous,
}

impl BillingConfig {
    /// Whether the sandbox provider is on: as configured, else everywhere but in production.
    #[must_use]
    pub fn sandbox_is_on(&self, environment: Environment) -> bool {
        self.sandbox.unwrap_or(environment == Environment::Development)
    }
}

/// Letters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotificationsConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
    /// What notifications shows auth to learn addresses: the same for both. Where both are one process
    /// it may be absent; then that process makes one up. Whoever has it can reset any password.
    pub client_secret: Option<SecretString>,
    /// Through which server letters are mailed: `smtps://USER:PASSWORD@HOST`, or
    /// `smtp://USER:PASSWORD@HOST:587?tls=required` for STARTTLS. Absent means that nothing is mailed.
    pub mail_url: Option<SecretString>,
    /// From whom: `Cinema <noreply@example.com>`.
    pub mail_from: Option<String>,
    /// Where users reach what belongs to the links in mails: `https://example.com`.
    pub public_url: Option<String>,
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
        let wrong = |key, why: &str| {
            Err(ConfigError::Value {
                key,
                why: why.to_owned(),
            })
        };
        for (key, value) in self.texts() {
            if value.is_some_and(str::is_empty) {
                return wrong(key, "it is empty; leave it out to have the default");
            }
        }
        if self.environment == Environment::Production && self.billing.sandbox == Some(true) {
            return wrong(
                "billing.sandbox",
                "the sandbox makes money out of nothing and is refused in production",
            );
        }
        if !(1..=3_600).contains(&self.billing.purchase_deadline_seconds) {
            return wrong("billing.purchase_deadline_seconds", "it must be from 1 to 3600");
        }
        let secret = self.billing.sandbox_webhook_secret.as_ref();
        if secret.is_none() && self.billing.sandbox_mode == SandboxMode::Asynchronous {
            return wrong(
                "billing.sandbox_webhook_secret",
                "the asynchronous sandbox decides by signed webhook and needs it",
            );
        }
        if secret.is_some_and(|secret| secret.expose_secret().len() < SHORTEST_SECRET) {
            return wrong(
                "billing.sandbox_webhook_secret",
                "it must have at least 16 characters",
            );
        }
        if let Some(secret) = &self.notifications.client_secret {
            let secret = secret.expose_secret();
            if secret.len() < SHORTEST_CLIENT_SECRET {
                return wrong(
                    "notifications.client_secret",
                    "it must have at least 32 characters, such as `openssl rand -hex 32` makes",
                );
            }
            if self.environment == Environment::Production && secret == CLIENT_SECRET_FOR_TRYING {
                return wrong(
                    "notifications.client_secret",
                    "it is the one for trying, which everybody knows, and is refused in production",
                );
            }
        }
        if !(1..=10_080).contains(&self.billing.reconcile_minutes) {
            return wrong("billing.reconcile_minutes", "it must be from 1 to 10080");
        }
        if !(1..=27).contains(&self.billing.ending_notice_days) {
            return wrong(
                "billing.ending_notice_days",
                "it must be from 1 to 27: nobody is told of what is no longer than that, as a month may be",
            );
        }
        if !(10..=86_400).contains(&self.auth.access_token_seconds) {
            return wrong("auth.access_token_seconds", "it must be from 10 to 86400");
        }
        if !(60..=31_536_000).contains(&self.auth.refresh_token_seconds) {
            return wrong("auth.refresh_token_seconds", "it must be from 60 to 31536000");
        }
        if self.auth.max_failed_logins == 0 {
            return wrong("auth.max_failed_logins", "it must be at least 1");
        }
        if self.auth.max_failed_logins_per_address == 0 {
            return wrong("auth.max_failed_logins_per_address", "it must be at least 1");
        }
        if self.auth.max_registrations_per_address == 0 {
            return wrong("auth.max_registrations_per_address", "it must be at least 1");
        }
        if self.auth.max_letters_per_address == 0 {
            return wrong("auth.max_letters_per_address", "it must be at least 1");
        }
        if let Some(url) = &self.auth.url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return wrong("auth.url", "it must begin with http:// or https://");
        }
        if self.notifications.mail_url.is_some() {
            if self.notifications.mail_from.is_none() {
                return wrong("notifications.mail_from", "it must be set where mail is sent");
            }
            if self.notifications.public_url.is_none() {
                return wrong("notifications.public_url", "it must be set where mail is sent");
            }
        }
        if let Some(url) = &self.notifications.public_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return wrong(
                "notifications.public_url",
                "it must begin with http:// or https://",
            );
        }
        Ok(())
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

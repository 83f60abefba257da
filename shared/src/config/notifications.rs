//! What can be configured of letters.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{ConfigError, Environment, error::wrong, value};

/// The shortest `notifications.client_secret`: whoever has it reads the secrets that reset passwords.
const SHORTEST_CLIENT_SECRET: usize = 32;

/// The `notifications.client_secret` that `docker compose` takes where none is set, which everybody
/// knows.
pub const CLIENT_SECRET_FOR_TRYING: &str = "trying-only-and-long-enough-to-be-one";

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

impl NotificationsConfig {
    pub(super) fn check(&self, environment: Environment) -> Result<(), ConfigError> {
        if let Some(secret) = &self.client_secret {
            let secret = secret.expose_secret();
            if secret.len() < SHORTEST_CLIENT_SECRET {
                return wrong(
                    "notifications.client_secret",
                    "it must have at least 32 characters, such as `openssl rand -hex 32` makes",
                );
            }
            if environment == Environment::Production && secret == CLIENT_SECRET_FOR_TRYING {
                return wrong(
                    "notifications.client_secret",
                    "it is the one for trying, which everybody knows, and is refused in production",
                );
            }
        }
        if self.mail_url.is_some() {
            if self.mail_from.is_none() {
                return wrong("notifications.mail_from", "it must be set where mail is sent");
            }
            if self.public_url.is_none() {
                return wrong("notifications.public_url", "it must be set where mail is sent");
            }
        }
        if let Some(url) = &self.public_url
            && !value::is_http(url)
        {
            return wrong("notifications.public_url", value::NOT_HTTP);
        }
        Ok(())
    }
}

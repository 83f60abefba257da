//! What can be configured of accounts.

use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, Network, error::wrong, value};

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

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(10..=86_400).contains(&self.access_token_seconds) {
            return wrong("auth.access_token_seconds", "it must be from 10 to 86400");
        }
        if !(60..=31_536_000).contains(&self.refresh_token_seconds) {
            return wrong("auth.refresh_token_seconds", "it must be from 60 to 31536000");
        }
        for (key, most) in [
            ("auth.max_failed_logins", self.max_failed_logins),
            (
                "auth.max_failed_logins_per_address",
                self.max_failed_logins_per_address,
            ),
            (
                "auth.max_registrations_per_address",
                self.max_registrations_per_address,
            ),
            ("auth.max_letters_per_address", self.max_letters_per_address),
        ] {
            if most == 0 {
                return wrong(key, "it must be at least 1");
            }
        }
        if let Some(url) = &self.url
            && !value::is_http(url)
        {
            return wrong("auth.url", value::NOT_HTTP);
        }
        Ok(())
    }
}

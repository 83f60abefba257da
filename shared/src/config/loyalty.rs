//! What can be configured of promocodes.

use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, error::wrong};

/// Promocodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoyaltyConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
    /// Unknown promocodes that one user may try within a quarter of an hour, in dry runs and purchases
    /// together, after which they have to wait.
    pub max_unknown_promocodes: u32,
    /// The same of all users at one address. It slows only those who have tried one themselves.
    pub max_unknown_promocodes_per_address: u32,
}

impl Default for LoyaltyConfig {
    fn default() -> Self {
        Self {
            database_url: None,
            max_unknown_promocodes: 20,
            max_unknown_promocodes_per_address: 200,
        }
    }
}

impl LoyaltyConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, most) in [
            ("loyalty.max_unknown_promocodes", self.max_unknown_promocodes),
            (
                "loyalty.max_unknown_promocodes_per_address",
                self.max_unknown_promocodes_per_address,
            ),
        ] {
            if most == 0 {
                return wrong(key, "it must be at least 1");
            }
        }
        Ok(())
    }
}

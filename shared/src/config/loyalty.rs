//! What can be configured of promocodes.

use secrecy::SecretString;
use serde::Deserialize;

/// Promocodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoyaltyConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
}

//! `kopeck keys rotate` and `list`

use std::process::ExitCode;

use clap::Subcommand;
use shared::{config::Config, contracts::ServiceName};

use super::open_up_to_date;

/// What can be done with the keys that tokens are signed with.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make another key, which is published at once and signs a minute later
    Rotate {
        /// Have it sign after so many seconds. With less than a minute, whoever keeps the keys for a
        /// while may refuse new tokens until they look again
        #[arg(long, value_name = "SECONDS")]
        after: Option<u32>,
    },
    /// Show the keys that are published
    List,
}

pub(super) async fn keys(config: &Config, action: Keys) -> anyhow::Result<ExitCode> {
    let database = open_up_to_date(config, ServiceName::Auth).await?;
    match action {
        Keys::Rotate { after } => {
            let after = after.map_or(auth::BEFORE_SIGNING, |seconds| {
                chrono::Duration::seconds(i64::from(seconds))
            });
            let key = auth::rotate_keys(&database, after).await?;
            println!("{} is published, and signs from {} on.", key.kid, key.signs_from);
        }
        Keys::List => {
            for key in auth::list_keys(&database).await? {
                let until = key
                    .published_until
                    .map_or_else(String::new, |until| format!("  published until {until}"));
                println!("{}  signs from {}{until}", key.kid, key.signs_from);
            }
        }
    }
    database.close().await;
    Ok(ExitCode::SUCCESS)
}

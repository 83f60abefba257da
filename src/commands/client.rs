//! `kopeck client create`, `list` and `disable`

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use secrecy::ExposeSecret as _;
use shared::{
    config::Config,
    contracts::{Permission, ServiceName},
};

use super::open_up_to_date;

/// What can be done with programs that call by themselves.
#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Make one; its secret is printed once
    Create {
        /// What it is called: small letters, digits, `_` and `-`
        name: String,
        /// What it may do, such as `users.read`; may be repeated
        #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = permission)]
        permissions: Vec<Permission>,
    },
    /// Show all
    List,
    /// Give one no tokens any more, and refuse those that it has
    Disable {
        /// What it is called
        name: String,
    },
}

fn permission(text: &str) -> Result<Permission, String> {
    let found = Permission::grantable().find(|permission| permission.as_str() == text);
    found.ok_or_else(|| {
        let all: Vec<_> = Permission::grantable().map(Permission::as_str).collect();
        format!("there is no such permission; there are {}", all.join(", "))
    })
}

pub(super) async fn client(config: &Config, action: Client) -> anyhow::Result<ExitCode> {
    let database = open_up_to_date(config, ServiceName::Auth).await?;
    match action {
        Client::Create { name, permissions } => {
            let permissions: BTreeSet<_> = permissions.into_iter().collect();
            let (made, secret) = auth::create_client(&database, &name, permissions)
                .await
                .with_context(|| format!("the client {name} can't be made"))?;
            println!("client_id      {}", made.id);
            println!("client_secret  {}", secret.expose_secret());
            println!("The secret is shown this once. Tokens come from POST /auth/v1/token.");
        }
        Client::List => {
            for client in auth::list_clients(&database).await? {
                let permissions: Vec<_> = client.permissions.iter().map(|one| one.as_str()).collect();
                let state = if client.disabled_at.is_some() {
                    "disabled"
                } else {
                    "active"
                };
                println!(
                    "{}  {}  {state}  {}",
                    client.id,
                    client.name,
                    permissions.join(",")
                );
            }
        }
        Client::Disable { name } => {
            auth::disable_client(&database, &name).await?;
            println!(
                "{name} gets no tokens any more. Those that it has are refused by auth at once, and by the \
                 other services within seconds."
            );
        }
    }
    database.close().await;
    Ok(ExitCode::SUCCESS)
}

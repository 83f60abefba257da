//! `kopeck admin create`

use std::{
    io::{BufRead as _, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use shared::{config::Config, contracts::ServiceName, db};

use super::open_up_to_date;

pub(super) async fn create(config: &Config, email: &str) -> anyhow::Result<ExitCode> {
    let database = open_up_to_date(config, ServiceName::Auth).await?;
    let password = tokio::task::spawn_blocking(read_password).await??;
    let user = auth::create_admin(&database, email, password).await?;
    let url = config.database_url(ServiceName::Auth);
    let place = db::place(ServiceName::Auth, url.expose_secret())?;
    println!("{user} is an administrator now, in the database {place}.");
    database.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The first line of standard input. Never an argument: other users of the machine see those.
pub(super) fn read_password() -> anyhow::Result<SecretString> {
    if std::io::stdin().is_terminal() {
        eprint!("Password: ");
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("the password can't be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!password.is_empty(), "no password came on standard input");
    Ok(SecretString::from(password.to_owned()))
}

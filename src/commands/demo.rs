//! `kopeck demo`: the whole story, on a throw-away platform of its own, over real HTTP.

mod client;
mod story;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use secrecy::SecretString;
use shared::{clock::SystemClock, config::Config, contracts::ServiceName, host};
use tokio::signal::unix::{SignalKind, signal};

use self::client::Client;
use crate::definitions;

const ADMIN_EMAIL: &str = "owner@cinema.example";
/// Of a platform that is gone in a minute.
const ADMIN_PASSWORD: &str = "the owner of the cinema";

pub(super) async fn demo() -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("a temporary folder can't be made")?;
    let mut config = Config {
        data: folder.path().to_path_buf(),
        ..Config::default()
    };
    config.listen = ([127, 0, 0, 1], 0).into();

    let db = super::open_up_to_date(&config, ServiceName::Auth).await?;
    auth::create_admin(&db, ADMIN_EMAIL, SecretString::from(ADMIN_PASSWORD)).await?;
    let running = host::start(config.clone(), &definitions(), Arc::new(SystemClock)).await?;

    let client = Client::new(format!("http://{}", running.address()));
    let told = tokio::select! {
        told = story::tell(&client) => told,
        signal = interrupted() => signal.and_then(|()| anyhow::bail!("interrupted")),
    };
    let reconciled = match told {
        Ok(()) => {
            println!();
            println!("And the books, recomputed from every posting:");
            // While it runs: the administrator's registration may still be on its way.
            super::reconcile::reconcile(&config, Some(0), false).await
        }
        Err(error) => Err(error),
    };
    running.stop().await;
    reconciled
}

/// Waits for Ctrl-C or a request to end: the throw-away platform goes with us.
async fn interrupted() -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

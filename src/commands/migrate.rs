//! `kopeck migrate up` and `status`

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use shared::{
    clock::SystemClock,
    config::Config,
    db::{ConnectError, Db},
    facts::{self, Purpose},
};

use super::{Only, open, services};

pub(super) async fn up(config: &Config, only: &[Only]) -> anyhow::Result<ExitCode> {
    let mut databases = Vec::new();
    for service in services(only) {
        let db = open(config, service).await?;
        let pending = migration::pending(service, db.writer()).await?;
        migration::up(service, db.writer())
            .await
            .with_context(|| format!("the database of {service} can't be brought up to date"))?;
        println!("{service}: {pending} applied, up to date");
        databases.push(db);
    }
    let all: Vec<_> = databases.iter().collect();
    facts::agree(&all, config.currency, Purpose::Migrate).await?;
    for db in databases {
        db.close().await;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(config: &Config, only: &[Only]) -> anyhow::Result<ExitCode> {
    let mut complete = true;
    for service in services(only) {
        let url = config.database_url(service);
        let opened = Db::open_existing(service, url.expose_secret(), Arc::new(SystemClock)).await;
        let migrations = match opened {
            Ok(db) => {
                facts::check_owner(&db).await?;
                let status = migration::status(service, db.reader()).await?;
                db.close().await;
                status
            }
            // Looking makes nothing: what is not there yet lacks everything.
            Err(ConnectError::Missing { file, .. }) => {
                println!("{service}: no database yet in {}", file.display());
                migration::known(service)
                    .into_iter()
                    .map(|name| migration::Applied { name, applied: false })
                    .collect()
            }
            Err(error) => return Err(error.into()),
        };
        for migration in migrations {
            complete &= migration.applied;
            let mark = if migration.applied { "applied" } else { "pending" };
            println!("{service}: {mark} {}", migration.name);
        }
    }
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

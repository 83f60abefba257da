//! `kopeck migrate up` and `status`

use std::process::ExitCode;

use anyhow::Context as _;
use shared::config::Config;

use super::{Only, open, services};

pub(super) async fn up(config: &Config, only: &[Only]) -> anyhow::Result<ExitCode> {
    for service in services(only) {
        let db = open(config, service).await?;
        let pending = migration::pending(service, db.writer()).await?;
        migration::up(service, db.writer())
            .await
            .with_context(|| format!("the database of {service} can't be brought up to date"))?;
        println!("{service}: {pending} applied, up to date");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(config: &Config, only: &[Only]) -> anyhow::Result<ExitCode> {
    let mut complete = true;
    for service in services(only) {
        let db = open(config, service).await?;
        for migration in migration::status(service, db.writer()).await? {
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

//! `kopeck health`

use std::{process::ExitCode, time::Duration};

use serde::Deserialize;
use shared::config::Config;

use super::{Only, services};

const PATIENCE: Duration = Duration::from_secs(4);

/// What a service answers that is ready.
#[derive(Deserialize)]
struct Ready {
    status: String,
}

/// For container platforms, whose images need no HTTP client then.
pub(super) async fn health(config: &Config, url: Option<String>, only: &[Only]) -> anyhow::Result<ExitCode> {
    let url = url.unwrap_or_else(|| format!("http://127.0.0.1:{}", config.listen.port()));
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
    let mut is_ready = true;
    for service in services(only) {
        let asked = format!("{}/{service}/health/ready", url.trim_end_matches('/'));
        let found = match client.get(&asked).send().await {
            Ok(answer) if answer.status().is_success() => match answer.json::<Ready>().await {
                Ok(ready) if ready.status == "degraded" => "ready, degraded: see /health/ready",
                _ => "ready",
            },
            Ok(_) => "not ready",
            Err(_) => "no answer",
        };
        is_ready &= found.starts_with("ready");
        println!("{service}: {found}");
    }
    Ok(if is_ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

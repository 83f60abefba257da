//! `kopeck run`

use std::{process::ExitCode, sync::Arc};

use shared::{clock::SystemClock, config::Config, host, telemetry};
use tokio::signal::unix::{SignalKind, signal};

use super::{Only, services};
use crate::definition;

pub(super) async fn run(config: Config, only: &[Only]) -> anyhow::Result<ExitCode> {
    telemetry::init(&config.log)?;
    // Listened to before anything starts: a stop that comes early is a stop too.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let services = services(only);
    let definitions: Vec<_> = services.iter().copied().map(definition).collect();
    let data = config.data.clone();
    let embedded = services.iter().any(|service| config.is_embedded(*service));

    let running = host::start(config, &definitions, Arc::new(SystemClock)).await?;

    let names: Vec<_> = services.iter().map(|service| service.as_str()).collect();
    println!("Kopeck is running: {}", names.join(", "));
    println!("  API   http://{}", running.address());
    if embedded {
        println!("  Data  {}", data.display());
    }
    println!("  The first administrator is made by (the password is read from standard input):");
    println!(
        "        {} admin create --email you@example.com{}",
        program(),
        folder_option(&data)
    );
    println!("  Ctrl-C stops it.");

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("Stopping.");
    running.stop().await;
    println!("Stopped.");
    Ok(ExitCode::SUCCESS)
}

/// How this program was called, so that the hint can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "kopeck".to_owned())
}

fn folder_option(data: &std::path::Path) -> String {
    if data == std::path::Path::new("data") {
        String::new()
    } else {
        format!(" --data {}", data.display())
    }
}

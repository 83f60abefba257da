//! `kopeck run`

use std::{path::Path, process::ExitCode, sync::Arc};

use secrecy::SecretString;
use shared::{clock::SystemClock, config::Config, contracts::ServiceName, host, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Only, Options, services};
use crate::{definition, random};

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

pub(super) async fn run(
    mut config: Config,
    only: &[Only],
    options: &Options,
    until_input_ends: bool,
) -> anyhow::Result<ExitCode> {
    // Until the end, however it comes: errors on the way there are reported too.
    let _telemetry = telemetry::init(&config)?;
    // Listened to before anything starts: a stop that comes early is a stop too.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let services = services(only);
    let definitions: Vec<_> = services.iter().copied().map(definition).collect();
    let data = config.data.clone();
    let embedded = services.iter().any(|service| config.is_embedded(*service));

    // Auth and notifications are one process: nobody else has to know what they show each other.
    let together = [ServiceName::Auth, ServiceName::Notifications]
        .iter()
        .all(|service| services.contains(service));
    if together && config.auth.url.is_none() && config.notifications.client_secret.is_none() {
        config.notifications.client_secret = Some(SecretString::from(random::secret()));
    }

    let running = host::start(config, &definitions, Arc::new(SystemClock)).await?;

    let names: Vec<_> = services.iter().map(|service| service.as_str()).collect();
    println!("Kopeck is running: {}", names.join(", "));
    println!("  API   http://{}", running.address());
    if embedded {
        println!("  Data  {}", data.display());
    }
    if services.contains(&ServiceName::Auth) {
        println!("  The first administrator is made by (the password is read from standard input):");
        println!("        {}", admin_command(options));
    }
    println!("  Ctrl-C stops it.");

    let failed = tokio::select! {
        () = told(&mut interrupt, &mut terminate) => false,
        () = end_of_input(), if until_input_ends => false,
        () = running.failed() => true,
    };
    println!("Stopping.");
    tokio::select! {
        () = running.stop() => {}
        // Whoever says it twice does not want to wait.
        () = told(&mut interrupt, &mut terminate) => std::process::exit(INTERRUPTED),
    }
    println!("Stopped.");
    // Its supervisor, or whoever reads the log, is to start it again.
    anyhow::ensure!(
        !failed,
        "a part of the platform has ended by itself; the log says which"
    );
    Ok(ExitCode::SUCCESS)
}

/// Waits until standard input ends: whoever holds its other end is gone. On a thread of its own,
/// which unlike the runtime's keeps nobody from ending.
async fn end_of_input() {
    let (say, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = say.send(());
    });
    let _ = ended.await;
}

async fn told(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The command that makes an administrator of this platform, to be pasted: this program, as it
/// was called and with the configuration that it was given.
fn admin_command(options: &Options) -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "kopeck".into());
    let mut command = quoted(Path::new(&program));
    command.push_str(" admin create --email you@example.com");
    for (name, path) in [("--config", &options.config), ("--data", &options.data)] {
        if let Some(path) = path {
            command.push_str(&format!(" {name} {}", quoted(path)));
        }
    }
    command
}

/// The path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

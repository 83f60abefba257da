//! `kopeck servers [--] COMMAND…`: a command with servers of its own.

use std::{
    ffi::OsString,
    future::pending,
    process::{ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Durability, Needs, Servers, processes};

/// In which the command has to end once it was told to.
const COMMAND_BOUND: Duration = Duration::from_secs(10);

/// Starts all servers, runs `command` with their URLs in `TEST_POSTGRES_URL`, `TEST_AMQP_URL`,
/// `TEST_RABBIT_API` and `TEST_REDIS_URL`, stops them, and returns the command's exit code. Without a
/// command it prints the URLs and waits.
///
/// They are for tests that share them: what they hold survives their kill, but not a crash of the machine.
///
/// On SIGINT, SIGTERM and SIGHUP the command is stopped too, and the code is 128 and the signal's number.
///
/// # Errors
/// The servers did not come up, or there is no such command.
pub async fn run(command: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let start = Instant::now();
    let servers = tokio::select! {
        servers = Servers::start_with(Needs::ALL, Durability::WithoutDisk) => servers?,
        number = signals.next() => return Ok(after_signal(number)),
    };
    let code = match command.split_first() {
        Some((program, arguments)) => {
            eprintln!("servers are up after {:.1} s", start.elapsed().as_secs_f64());
            run_inside(&servers, program, arguments, &mut signals).await
        }
        None => {
            for (name, url) in urls(&servers)? {
                println!("{name}={url}");
            }
            eprintln!(
                "data and logs are in {}; Ctrl-C ends it all",
                servers.folder().display()
            );
            Ok(after_signal(signals.next().await))
        }
    };
    servers.stop().await;
    code
}

async fn run_inside(
    servers: &Servers,
    program: &OsString,
    arguments: &[OsString],
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let mut child = Command::new(program)
        .args(arguments)
        .envs(urls(servers)?)
        .spawn()
        .with_context(|| format!("`{}` can't be run", program.to_string_lossy()))?;
    servers.note_command(child.id())?;
    let code = tokio::select! {
        status = child.wait() => exit_code(status?),
        number = signals.next() => {
            stop(&mut child, signals).await?;
            after_signal(number)
        }
    };
    servers.note_command(None)?;
    Ok(code)
}

fn urls(servers: &Servers) -> anyhow::Result<[(&'static str, String); 4]> {
    Ok([
        ("TEST_POSTGRES_URL", servers.postgres()?.url()),
        ("TEST_AMQP_URL", servers.rabbitmq()?.url()),
        ("TEST_RABBIT_API", servers.rabbitmq()?.api()),
        ("TEST_REDIS_URL", servers.redis()?.url()),
    ])
}

/// Ends the command with everything below it: a test runner that goes alone leaves its tests behind.
/// A second signal makes it short.
async fn stop(child: &mut Child, signals: &mut Signals) -> anyhow::Result<()> {
    let Some(pid) = child.id() else { return Ok(()) };
    let mut family = processes::descendants(pid);
    processes::signal("TERM", None, &[pid]);
    processes::signal("TERM", None, &family);
    tokio::select! {
        status = child.wait() => { status?; }
        () = tokio::time::sleep(COMMAND_BOUND) => {}
        _ = signals.next() => {}
    }
    family.extend(child.id());
    family.extend(processes::descendants(pid));
    family.retain(|pid| processes::is_running(*pid));
    processes::signal("KILL", None, &family);
    child.wait().await?;
    Ok(())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or(status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

fn after_signal(number: u8) -> ExitCode {
    ExitCode::from(128 + number)
}

/// The signals that end a program from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            interrupt,
            terminate,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next signal.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            Some(()) = self.interrupt.recv() => 2,
            Some(()) = self.terminate.recv() => 15,
            Some(()) = self.hangup.recv() => 1,
            else => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status_of(script: &str) -> ExitStatus {
        Command::new("sh").args(["-c", script]).status().await.unwrap()
    }

    #[tokio::test]
    async fn the_commands_exit_code_is_passed_on_signals_included() {
        assert_eq!(exit_code(status_of("exit 0").await), ExitCode::SUCCESS);
        assert_eq!(exit_code(status_of("exit 100").await), ExitCode::from(100));
        assert_eq!(exit_code(status_of("kill -s KILL $$").await), ExitCode::from(137));
    }

    #[tokio::test]
    async fn a_stopped_command_leaves_none_of_its_children_behind() {
        let mut command = Command::new("sh");
        let mut child = command
            .args(["-c", "(trap '' TERM; sleep 600; :) & wait"])
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let start = Instant::now();
        let mut family = Vec::new();
        while family.len() < 2 {
            assert!(start.elapsed() < COMMAND_BOUND, "the children never appeared");
            tokio::time::sleep(processes::TICK).await;
            family = processes::descendants(pid);
        }

        stop(&mut child, &mut Signals::listen().unwrap()).await.unwrap();

        assert!(processes::wait_until_gone(&family, COMMAND_BOUND));
    }
}

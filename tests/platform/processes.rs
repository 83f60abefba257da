//! Processes of the program, with the test as whoever calls them.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kopeck");

/// All users of a test come from one address, and some fail again and again on purpose. What that
/// costs by default, `limits` tests.
pub const UNLIMITED: [(&str, &str); 6] = [
    ("KOPECK_AUTH__MAX_REGISTRATIONS_PER_ADDRESS", "4294967295"),
    ("KOPECK_LOYALTY__MAX_UNKNOWN_PROMOCODES", "4294967295"),
    ("KOPECK_LOYALTY__MAX_UNKNOWN_PROMOCODES_PER_ADDRESS", "4294967295"),
    ("KOPECK_BILLING__MAX_FAILED_PURCHASES", "4294967295"),
    ("KOPECK_BILLING__MAX_FAILED_WITHDRAWALS", "4294967295"),
    ("KOPECK_BILLING__MAX_UNPAID_TOP_UPS", "4294967295"),
];

/// The platform in one process, as `kopeck run` starts it.
pub struct Embedded {
    pub child: Child,
    pub address: String,
    pub output: Vec<String>,
}

/// Starts `kopeck run` on a free port with its data in `folder`.
pub async fn run_embedded(folder: &Path) -> Embedded {
    run_embedded_with(folder, &[("KOPECK_LOG__FILTER", "warn")], Stdio::inherit()).await
}

/// The same with this configuration and its log going there.
pub async fn run_embedded_with(folder: &Path, variables: &[(&str, &str)], log: Stdio) -> Embedded {
    let mut child = Command::new(PROGRAM)
        .args(["run", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder)
        .envs(UNLIMITED)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut output = Vec::new();
    let mut address = None;
    let read = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, found)) = line.split_once("API   http://") {
                address = Some(found.to_owned());
            }
            output.push(line.clone());
            if line.contains("Ctrl-C") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read)
        .await
        .expect("the platform starts");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Embedded {
        child,
        address: address.expect("it says where the API is"),
        output,
    }
}

/// Tells a process to stop, as Ctrl-C would, and waits for its end.
pub async fn interrupt(mut child: Child) -> std::process::ExitStatus {
    let id = child.id().expect("it runs").to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .await
            .unwrap()
            .success()
    );
    tokio::time::timeout(Duration::from_secs(90), child.wait())
        .await
        .expect("it stops")
        .unwrap()
}

/// Runs a command of the program with `input` on its standard input.
pub async fn run_command(arguments: &[&str], environment: &[(String, String)], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .envs(environment.iter().cloned())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // A command that needs no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap()
}

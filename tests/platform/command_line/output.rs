//! Who reads what a command shows may stop doing so: `kopeck … | head`.

use std::{
    fs::OpenOptions,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::process::Command;

use crate::platform::PROGRAM;

/// Runs a command that shows what it has to say to `stdout`, and has nothing on standard input.
async fn run_into(stdout: impl Into<Stdio>, arguments: &[&str], data: &Path) -> Output {
    let child = Command::new(PROGRAM)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .current_dir(data)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap()
}

/// The end of a pipe that nobody reads any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[tokio::test]
async fn a_command_does_its_work_though_nobody_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, succeeds) in [
        (&["migrate", "status"][..], false),
        (&["migrate", "up"], true),
        (&["migrate", "status"], true),
        (&["parked", "list"], true),
        (&["keys", "list"], true),
        (&["reconcile"], true),
        (
            &["client", "create", "shop", "--permission", "billing.read"],
            true,
        ),
        // It starts, and stops since its input has ended.
        (&["run", "--listen", "127.0.0.1:0", "--until-input-ends"], true),
        (&["--help"], true),
    ] {
        let output = run_into(closed_pipe(), arguments, folder.path()).await;
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), succeeds, "{arguments:?}: {output:?}");
        assert!(!complaints.contains("panicked"), "{arguments:?}: {complaints}");
    }
}

#[tokio::test]
async fn what_could_not_be_shown_to_whoever_waits_for_it_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = run_into(full, &["migrate", "up"], folder.path()).await;
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && complaints.contains("standard output"),
        "{output:?}"
    );
    assert!(!complaints.contains("panicked"), "{complaints}");
}

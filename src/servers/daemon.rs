//! One server process: started into a group of its own, watched until it answers, killed, started again.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::processes::{self, TICK};

/// In which a server has to answer after its start.
const START_BOUND: Duration = Duration::from_secs(60);
/// In which a server has to obey a polite signal; afterwards it is killed.
const STOP_BOUND: Duration = Duration::from_secs(20);
/// In which a server has to go when everything is stopped.
const PARTING_BOUND: Duration = Duration::from_secs(5);
/// What a single look at a server may take.
const PROBE_BOUND: Duration = Duration::from_secs(2);
const LOG_TAIL: u64 = 3_000;

/// Notes the process id before the server is there: from then on the guard knows about it.
const LAUNCH: &str = r#"echo $$ > pid && exec "$@""#;

/// How to run a server.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// As whom, if not as oneself.
    pub(super) owner: Option<Owner>,
}

/// A user of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A server process in its folder; dropping it ends the process.
#[derive(Debug)]
pub(super) struct Daemon {
    name: &'static str,
    home: PathBuf,
    program: Program,
    /// The signal on which the process goes soon and cleans up; `0` if it is about to end anyway.
    /// Without one it is killed at once.
    parting: Option<&'static str>,
    child: Mutex<Option<Child>>,
}

impl Daemon {
    /// A server called `name`, living in `home`, not started yet.
    pub(super) fn new(
        name: &'static str,
        home: PathBuf,
        program: Program,
        parting: Option<&'static str>,
    ) -> Self {
        Self {
            name,
            home,
            program,
            parting,
            child: Mutex::new(None),
        }
    }

    /// Starts the process; nothing happens if it already runs.
    pub(super) fn spawn(&self) -> anyhow::Result<()> {
        if self.exit_status()?.is_none() && self.pid().is_some() {
            return Ok(());
        }
        if let Some(signal) = self.parting {
            // For the guard.
            std::fs::write(self.home.join("parting"), format!("{signal}\n"))?;
        }
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new("sh");
        command
            .args(["-c", LAUNCH, self.name])
            .arg(&self.program.path)
            .args(&self.program.arguments)
            .envs(self.program.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some(owner) = self.program.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        let child = command
            .spawn()
            .with_context(|| format!("{} can't be started", self.name))?;
        *self.child() = Some(child);
        Ok(())
    }

    /// Waits until `probe` succeeds.
    ///
    /// # Errors
    /// The process has ended, or did not answer in a minute; with the end of its log.
    pub(super) async fn until_ready<T, F>(&self, probe: impl Fn() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exit_status()? {
                anyhow::bail!(
                    "{} ended at its start ({status}); its log:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            let failure = match tokio::time::timeout(PROBE_BOUND, probe()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(late) => late.into(),
            };
            if start.elapsed() > START_BOUND {
                let log = self.log_tail();
                return Err(failure.context(format!("{} does not answer; its log:\n{log}", self.name)));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Runs a program that ends by itself.
    ///
    /// # Errors
    /// It failed, or did not end in a minute; with the end of its log.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        self.spawn()?;
        let status = self.until_exit(START_BOUND).await?;
        let done = status.is_some_and(|status| status.success());
        anyhow::ensure!(done, "{} failed; its log:\n{}", self.name, self.log_tail());
        self.forget();
        Ok(())
    }

    /// Asks the server to end by `signal`, and kills it if it doesn't.
    pub(super) async fn end(&self, signal: &str) -> anyhow::Result<()> {
        if let Some(pid) = self.pid() {
            processes::signal(signal, None, &[pid]);
            self.until_exit(STOP_BOUND).await?;
        }
        self.kill();
        Ok(())
    }

    /// Suspends the server until it is killed.
    pub(super) fn freeze(&self) {
        if let Some(pid) = self.pid() {
            processes::signal("STOP", None, &[pid]);
        }
    }

    /// Kills the server and all that descends from it (`kill -9`), and returns when they are gone.
    /// Blocks for some milliseconds.
    pub(super) fn kill(&self) {
        // Taken in a statement of its own, so that the lock is free again for what follows.
        let child = self.child().take();
        if let Some(mut child) = child {
            // PostgreSQL's and Erlang's children are in groups of their own.
            let family = processes::descendants(child.id());
            processes::signal("KILL", Some(child.id()), &family);
            if let Err(error) = child.wait() {
                tracing::warn!(%error, server = self.name, "a killed server could not be waited for");
            }
            if !processes::wait_until_gone(&family, PROBE_BOUND) {
                tracing::warn!(server = self.name, "something of a killed server is still there");
            }
            self.forget();
        }
    }

    /// The process id, while there is a process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    async fn until_exit(&self, bound: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            let status = self.exit_status()?;
            if status.is_some() || start.elapsed() > bound {
                return Ok(status);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn exit_status(&self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child().as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// The process is gone: the guard must not take a later one with its number for it.
    fn forget(&self) {
        *self.child() = None;
        let _ = std::fs::remove_file(self.home.join("pid"));
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn log_tail(&self) -> String {
        tail(&self.log()).unwrap_or_else(|error| format!("(can't be read: {error})"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let (Some(signal), Some(pid)) = (self.parting, self.pid()) {
            processes::signal(signal, None, &[pid]);
            // Without its parent's care the process stays a zombie, which counts as gone.
            processes::wait_until_gone(&[pid], PARTING_BOUND);
        }
        self.kill();
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(home: &Path, script: &str) -> Daemon {
        let program = Program {
            path: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            owner: None,
        };
        Daemon::new("a shell", home.to_owned(), program, None)
    }

    #[tokio::test]
    async fn a_server_that_ends_at_its_start_is_reported_with_its_log() {
        let home = tempfile::tempdir().unwrap();
        let daemon = shell(home.path(), "echo the disk is full >&2; exit 3");
        daemon.spawn().unwrap();
        let never = || std::future::ready(Err::<(), _>(anyhow::anyhow!("no answer")));
        let error = daemon.until_ready(never).await.unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("the disk is full"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_killed_server_takes_its_children_along_and_can_start_again() {
        let home = tempfile::tempdir().unwrap();
        let daemon = shell(home.path(), "setsid sleep 600 & echo started; wait");
        daemon.spawn().unwrap();
        let first = daemon.pid().unwrap();
        let child = daemon
            .until_ready(|| async { processes::descendants(first).pop().context("no child yet") })
            .await
            .unwrap();

        daemon.kill();

        assert!(!processes::is_running(first) && !processes::is_running(child));
        assert!(!home.path().join("pid").exists());
        daemon.spawn().unwrap();
        assert_ne!(daemon.pid().unwrap(), first);
    }

    #[tokio::test]
    async fn a_server_that_ignores_a_polite_signal_does_not_survive_its_drop() {
        let home = tempfile::tempdir().unwrap();
        let daemon = shell(
            home.path(),
            "trap '' TERM; touch ready; while :; do sleep 600; done",
        );
        daemon.spawn().unwrap();
        let ready = home.path().join("ready");
        daemon
            .until_ready(|| async { ready.exists().then_some(()).context("not yet") })
            .await
            .unwrap();
        let pid = daemon.pid().unwrap();
        processes::signal("TERM", None, &[pid]);
        assert!(processes::is_running(pid));
        drop(daemon);
        assert!(!processes::is_running(pid));
    }
}

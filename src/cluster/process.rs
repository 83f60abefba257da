//! One process of one service.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use shared::contracts::ServiceName;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::servers::ports;

const PATIENCE: Duration = Duration::from_secs(60);

/// One process of one service. Dropping it kills it.
pub struct ServiceProcess {
    service: ServiceName,
    program: PathBuf,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl ServiceProcess {
    pub(super) async fn start(
        program: &Path,
        service: ServiceName,
        environment: &[(String, String)],
        folder: &Path,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        // Of our own choice: one from the system's range may be somebody else's when this process
        // is to be started again.
        let listen = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let (child, address) = spawn(program, service, environment, folder, &log, listen).await?;
        Ok(Self {
            service,
            program: program.to_path_buf(),
            environment: environment.to_vec(),
            folder: folder.to_path_buf(),
            log,
            address,
            child,
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it is ready to work.
    ///
    /// # Errors
    /// When it does not become so in a minute; with the end of its log.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let url = format!("http://{}/{}/health/ready", self.address, self.service);
        let client = super::client()?;
        let poll = async {
            loop {
                match client.get(&url).send().await {
                    Ok(answer) if answer.status().is_success() => return,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, poll)
            .await
            .with_context(|| format!("{} does not become ready:\n{}", self.service, tail(&self.log)))
    }

    /// Kills it as a crash would: no warning, no clean-up.
    ///
    /// # Errors
    /// When it can't be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("{} can't be killed", self.service))
    }

    /// Suspends it (`SIGSTOP`): its connections stay, and nobody answers on them. Only a kill ends
    /// this.
    ///
    /// # Errors
    /// When it can't be suspended.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.signal("STOP").await
    }

    /// Sets a variable of its environment, from its next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it again, at the same address.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let (child, _) = spawn(
            &self.program,
            self.service,
            &self.environment,
            &self.folder,
            &self.log,
            self.address,
        )
        .await?;
        self.child = child;
        Ok(())
    }

    /// Stops it as a shutdown would, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // Waiting would close it, which is another way to say stop.
        let _input = self.child.stdin.take();
        self.signal("TERM").await?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("{} does not stop:\n{}", self.service, tail(&self.log)))??;
        anyhow::ensure!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.service,
            tail(&self.log)
        );
        Ok(())
    }

    /// Nobody's error if it has ended already.
    async fn signal(&self, name: &str) -> anyhow::Result<()> {
        if let Some(id) = self.child.id() {
            let told = Command::new("kill")
                .args(["-s", name, &id.to_string()])
                .status()
                .await?;
            anyhow::ensure!(told.success(), "{} can't be sent {name}", self.service);
        }
        Ok(())
    }
}

async fn spawn(
    program: &Path,
    service: ServiceName,
    environment: &[(String, String)],
    folder: &Path,
    log: &Path,
    listen: SocketAddr,
) -> anyhow::Result<(Child, SocketAddr)> {
    let errors = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut child = Command::new(program)
        .args(["run", "--only", service.as_str(), "--listen", &listen.to_string()])
        // Its other end is ours: it ends when we do, however that comes about.
        .arg("--until-input-ends")
        // A Ctrl-C in the terminal is for us; a second signal would make it end at once.
        .process_group(0)
        .envs(environment.iter().cloned())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} can't be run", program.display()))?;
    let output = child.stdout.take().context("the process has no output")?;
    let mut lines = BufReader::new(output).lines();
    let find = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, address)) = line.split_once("http://") {
                return Ok(address.trim().parse::<SocketAddr>()?);
            }
        }
        anyhow::bail!("{service} did not start:\n{}", tail(log))
    };
    let address = tokio::time::timeout(PATIENCE, find)
        .await
        .with_context(|| format!("{service} does not start:\n{}", tail(log)))??;
    // Somebody must read on, or the process would block when the pipe is full.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, address))
}

/// Runs a command of the program to its end.
pub(super) async fn run_to_end(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    folder: &Path,
) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .envs(environment.iter().cloned())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("{} can't be run", program.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "`{}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The end of a log, to show with an error.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

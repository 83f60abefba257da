//! A Redis server of one's own.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    daemon::{Daemon, Program},
    ports,
};

const PONG: &[u8] = b"+PONG\r\n";

/// A running Redis. What it has answered survives a kill.
#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
    port: u16,
}

impl Redis {
    pub(super) async fn start(binary: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("redis");
        std::fs::create_dir(&home)?;
        let port = ports::free()?;
        let port_argument = port.to_string();
        let arguments = [
            "--port",
            &port_argument,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
        ];
        let program = Program {
            path: binary,
            arguments: arguments.iter().map(Into::into).collect(),
            environment: Vec::new(),
            owner: None,
        };
        let server = Self {
            daemon: Daemon::new("Redis", home, program, None),
            port,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// The URL of database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills the server (`kill -9`). Blocks for some milliseconds.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// Suspends the server (`SIGSTOP`): its connections stay, and nobody answers on them. Only a
    /// kill ends that.
    pub fn freeze(&self) {
        self.daemon.freeze();
    }

    /// Starts the server after a kill, on the same port with the same data, and returns when it answers.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.daemon.spawn()?;
        self.daemon.until_ready(|| self.probe()).await
    }

    /// Stops the server politely and starts it again.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.daemon.end("TERM").await?;
        self.start_again().await
    }

    /// While Redis reads its data it answers `-LOADING`.
    async fn probe(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; PONG.len()];
        stream.read_exact(&mut answer).await?;
        anyhow::ensure!(
            answer == PONG,
            "Redis answers {:?}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }
}

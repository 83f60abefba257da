//! A RabbitMQ broker of one's own, with the management API.

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    daemon::{Daemon, Program},
    ports,
};

/// `guest:guest`, whom the broker lets in from this machine only.
const AUTHORIZATION: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";
/// The first bytes of an AMQP 0-9-1 connection; the broker answers with a method frame, of type 1.
const AMQP_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
const METHOD_FRAME: u8 = 1;

/// A running broker. Durable queues with their persistent messages survive a kill.
#[derive(Debug)]
pub struct RabbitMq {
    daemon: Daemon,
    port: u16,
    api_port: u16,
}

impl RabbitMq {
    /// Starts a broker; `script` is the real `rabbitmq-server`.
    pub(super) async fn start(script: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("rabbitmq");
        std::fs::create_dir(&home)?;
        let (port, api_port, distribution_port) = (ports::free()?, ports::free()?, ports::free()?);
        std::fs::write(home.join("rabbitmq.conf"), configuration(port, api_port))?;
        std::fs::write(home.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        let program = Program {
            path: script,
            arguments: Vec::new(),
            environment: environment(&home, port, distribution_port),
            owner: None,
        };
        let server = Self {
            daemon: Daemon::new("RabbitMQ", home, program, None),
            port,
            api_port,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// The AMQP URL of the default virtual host.
    pub fn url(&self) -> String {
        self.vhost_url("%2f")
    }

    /// The AMQP URL of a virtual host.
    pub fn vhost_url(&self, name: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.port)
    }

    /// The root of the management API, with user and password.
    pub fn api(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.api_port)
    }

    /// Makes a virtual host that `guest` may use without limits. One that is there stays as it is.
    ///
    /// # Errors
    /// A name that would need escaping in a URL, or a broker that does not do it.
    pub async fn create_vhost(&self, name: &str) -> anyhow::Result<()> {
        let letters_fit = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        anyhow::ensure!(
            letters_fit && !name.is_empty(),
            "`{name}` is no name for a virtual host"
        );
        self.request("PUT", &format!("/api/vhosts/{name}"), "{}").await?;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        self.request("PUT", &format!("/api/permissions/{name}/guest"), all)
            .await
    }

    /// Suspends the broker: its connections stay and take bytes, and nobody reads them. Only a kill
    /// ends this.
    pub fn freeze(&self) {
        self.daemon.freeze();
    }

    /// Kills the broker (`kill -9`). Blocks for some milliseconds.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// Starts the broker after a kill, on the same ports with the same data, and returns when it answers.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.daemon.spawn()?;
        self.daemon.until_ready(|| self.probe()).await
    }

    /// Stops the broker politely and starts it again.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.daemon.end("TERM").await?;
        self.start_again().await
    }

    async fn probe(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(AMQP_HEADER).await?;
        anyhow::ensure!(
            stream.read_u8().await? == METHOD_FRAME,
            "RabbitMQ does not speak AMQP 0-9-1"
        );
        self.request("GET", "/api/health/checks/virtual-hosts", "").await
    }

    /// One request to the management API. By hand: it is plain HTTP on loopback with three fixed
    /// paths, and needs none of what an HTTP client sets up for TLS.
    pub(super) async fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.api_port)).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {AUTHORIZATION}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len(),
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer
            .split(' ')
            .nth(1)
            .context("the management API answers nothing")?;
        anyhow::ensure!(
            status.starts_with('2'),
            "the management API answers {method} {path} with: {answer}"
        );
        Ok(())
    }
}

/// The limits are absolute: relative to a large machine or a nearly full disk the defaults would stop
/// all publishers.
fn configuration(port: u16, api_port: u16) -> String {
    format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {api_port}\n\
         disk_free_limit.absolute = 50MB\n\
         vm_memory_high_watermark.absolute = 1GB\n"
    )
}

/// Everything that would otherwise lead to the machine's own broker is led into `home`.
fn environment(home: &Path, port: u16, distribution_port: u16) -> Vec<(&'static str, OsString)> {
    let node = format!("kopeck-{port}@localhost");
    // A node that is named by Erlang itself, with the port in the arguments, needs no `epmd`: a
    // daemon that would stay behind. Schedulers that have nothing to do sleep at once instead of
    // keeping a core busy, as RabbitMQ's guide advises where cores are shared.
    let erlang = format!(
        "-sname {node} -start_epmd false -erl_epmd_port {distribution_port} \
         -kernel inet_dist_use_interface {{127,0,0,1}} \
         +sbwt none +sbwtdcpu none +sbwtdio none"
    );
    let mut environment: Vec<(&'static str, OsString)> = vec![
        ("RABBITMQ_NODENAME", node.into()),
        ("RABBITMQ_NODE_PORT", port.to_string().into()),
        ("RABBITMQ_DIST_PORT", distribution_port.to_string().into()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang.into()),
        // To the standard output, which is the daemon's log.
        ("RABBITMQ_LOGS", "-".into()),
        // Lets the start script become the broker instead of watching over it.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
        // The Erlang cookie lies in the home folder.
        ("HOME", home.into()),
    ];
    let files = [
        ("RABBITMQ_MNESIA_BASE", "data"),
        ("RABBITMQ_LOG_BASE", "logs"),
        ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
        ("RABBITMQ_CONFIG_FILES", "conf.d"),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
        ("RABBITMQ_CONF_ENV_FILE", "environment.conf"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
        ("RABBITMQ_PID_FILE", "broker.pid"),
    ];
    environment.extend(files.map(|(key, file)| (key, home.join(file).into())));
    environment
}

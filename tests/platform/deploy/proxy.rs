//! The reverse proxy of the compose file, run as it is configured there, before real services.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use reqwest::{StatusCode, header, redirect::Policy};
use serde_json::Value;
use shared::{
    contracts::ServiceName,
    testing::{Api, eventually},
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::text_of;
use crate::platform::{ADMIN_EMAIL, Platform, log_in};

const FILE: &str = "deploy/Caddyfile";
const TRIES: usize = 5;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Caddy, which keeps what it keeps in `home`.
fn caddy(command: &str, configuration: &Path, home: &Path) -> Command {
    let mut caddy = Command::new("caddy");
    caddy
        .arg(command)
        .args(["--adapter", "caddyfile", "--config"])
        .arg(configuration)
        .env("HOME", home)
        .env("XDG_DATA_HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    caddy
}

#[tokio::test]
async fn its_configuration_is_valid() {
    let home = tempfile::tempdir().unwrap();
    let Output { status, stderr, .. } = caddy("validate", &in_repository(FILE), home.path())
        .output()
        .await
        .expect("caddy is installed: ./test does it");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
}

/// A proxy that runs.
struct Proxy {
    api: Api,
    _caddy: Child,
    _home: TempDir,
}

impl Proxy {
    /// With the names of the containers replaced by where the services are.
    async fn before(platform: &mut Platform) -> Self {
        let mut configuration = text_of(FILE);
        for service in ServiceName::ALL {
            let address = platform.addresses(service)[0];
            configuration = replaced(
                &configuration,
                &format!(" {service}:8080"),
                &format!(" {address}"),
            );
        }
        let contracts = in_repository("docs/api").display().to_string();
        configuration = replaced(&configuration, "/srv/api", &contracts);
        // Somebody else may take the port before Caddy does.
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(proxy) = Self::at(port, &configuration).await {
                return proxy;
            }
        }
        panic!("Caddy does not start");
    }

    async fn at(address: SocketAddr, configuration: &str) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("Caddyfile");
        let site = format!("\nhttp://{address} {{\n");
        std::fs::write(&file, replaced(configuration, "\n:8080 {\n", &site)).unwrap();
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut caddy = caddy("run", &file, home.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let runs = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                if caddy.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            true
        };
        let runs = tokio::time::timeout(Duration::from_secs(20), runs).await;
        if !runs.unwrap_or_default() {
            let log = std::fs::read_to_string(home.path().join("log")).unwrap();
            eprintln!("Caddy does not start: {log}");
            return None;
        }
        Some(Self {
            api: Api::new(format!("http://{address}")),
            _caddy: caddy,
            _home: home,
        })
    }
}

/// `text` with what is in it replaced, once or oftener.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is in {text}");
    text.replace(from, to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_serves_the_whole_platform() {
    let mut platform = Platform::distributed().await;
    let proxy = Proxy::before(&mut platform).await;
    let api = &proxy.api;

    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap();
    let start = client.get(format!("{}/", api.base())).send().await.unwrap();
    assert!(start.status().is_redirection(), "{start:?}");
    assert_eq!(start.headers()[header::LOCATION], "/docs/");
    let page = api.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    let committed: Value = serde_json::from_str(&text_of("docs/api/openapi.json")).unwrap();
    assert_eq!(api.get("/openapi.json").await.expect(200), committed);

    for service in ServiceName::ALL {
        let ready = api.get(&format!("/{service}/health/ready")).await;
        assert_eq!(ready.status, StatusCode::OK, "{service}");
        api.get(&format!("/{service}/openapi.json")).await.expect(200);
    }
    let admin = log_in(api, ADMIN_EMAIL).await;
    for path in [
        "/auth/v1/me",
        "/loyalty/v1/campaigns",
        "/billing/v1/balance",
        "/notifications/v1/letters",
    ] {
        admin.get(path).await.expect(200);
    }
    for path in ["/metrics", "/nothing", "/authentic/v1/me", "/auth/nothing"] {
        admin.get(path).await.expect_problem(404, "not_found");
    }

    let loyalty = &mut platform.cluster().processes(ServiceName::Loyalty)[0];
    loyalty.kill().await.unwrap();
    let path = "/loyalty/v1/campaigns";
    admin.get(path).await.expect_problem(502, "bad_gateway");
    loyalty.start_again().await.unwrap();
    loyalty.ready().await.unwrap();
    eventually("it is served again", || async {
        admin.get(path).await.status.is_success().then_some(())
    })
    .await;
    platform.finish().await;
}

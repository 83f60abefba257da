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
use crate::platform::{ADMIN_EMAIL, PASSWORD, Platform, log_in};

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
    for variables in SETTINGS {
        let home = tempfile::tempdir().unwrap();
        let Output { status, stderr, .. } = caddy("validate", &in_repository(FILE), home.path())
            .envs(variables.iter().copied())
            .output()
            .await
            .expect("caddy is installed: ./test does it");
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{variables:?}: {said}");
    }
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
        Self::with(platform, &[], "").await
    }

    /// The same with variables of the compose file, and more global options.
    async fn with(platform: &mut Platform, variables: &[(&str, &str)], options: &str) -> Self {
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
        let options = format!("\tadmin off\n{options}");
        configuration = replaced(&configuration, "\tadmin off\n", &options);
        // Somebody else may take the port before Caddy does.
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(proxy) = Self::at(port, &configuration, variables).await {
                return proxy;
            }
        }
        panic!("Caddy does not start");
    }

    async fn at(address: SocketAddr, configuration: &str, variables: &[(&str, &str)]) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("Caddyfile");
        let site = format!("\nhttp://{address} ");
        std::fs::write(&file, replaced(configuration, "\nhttp://:8080 ", &site)).unwrap();
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut caddy = caddy("run", &file, home.path())
            .envs(variables.iter().copied())
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

/// Which variables of an `.env` it may be given.
const SETTINGS: &[&[(&str, &str)]] = &[
    &[],
    &[("KOPECK_TRUSTED_PROXIES", "")],
    &[("KOPECK_TRUSTED_PROXIES", "192.0.2.0/24 2001:db8::/32")],
    &[("KOPECK_DOMAIN", "shop.example.com")],
    &[
        ("KOPECK_DOMAIN", "shop.example.com"),
        ("KOPECK_TRUSTED_PROXIES", "private_ranges"),
    ],
];

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

/// The address from which auth was asked last, by what a login leaves behind.
async fn seen_from(api: &Api, forwarded_for: &[&str]) -> String {
    let mut request = api.request(reqwest::Method::POST, "/auth/v1/login");
    for value in forwarded_for {
        request = request.header("x-forwarded-for", *value);
    }
    let body = serde_json::json!({"email": ADMIN_EMAIL, "password": PASSWORD});
    let tokens = api.send(request.json(&body)).await.expect(200);
    let admin = api.with_token(tokens["access_token"].as_str().unwrap().to_owned());
    let sessions = admin.get("/auth/v1/me/sessions").await.expect(200);
    sessions["items"][0]["address"].as_str().unwrap().to_owned()
}

/// The test is the proxy in front, which ends TLS and appends whom it got the request from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_another_proxy_are_told_from_each_other() {
    let trusts = ("KOPECK_AUTH__TRUSTED_PROXIES", "127.0.0.0/8 ");
    let mut platform = Platform::distributed_with(1, &[trusts]).await;
    let believing = Proxy::with(&mut platform, &[("KOPECK_TRUSTED_PROXIES", "127.0.0.1/32")], "").await;
    for (forwarded_for, client) in [
        (&["203.0.113.1"][..], "203.0.113.1"),
        (&["203.0.113.2:4711"], "203.0.113.2"),
        (&["6.6.6.6, 203.0.113.3:4711"], "203.0.113.3"),
        (&["[2001:db8::4]:4711"], "2001:db8::4"),
        (&["6.6.6.6", "\"[2001:db8::5]:4711\""], "2001:db8::5"),
        (&["203.0.113.6, ,"], "203.0.113.6"),
        (&[], "127.0.0.1"),
    ] {
        let seen = seen_from(&believing.api, forwarded_for).await;
        assert_eq!(seen, client, "{forwarded_for:?}");
    }
    // Where no proxy is in front, the header is not believed.
    let alone = Proxy::before(&mut platform).await;
    assert_eq!(seen_from(&alone.api, &["203.0.113.1"]).await, "127.0.0.1");
    platform.finish().await;
}

/// A domain of this machine, whose certificates Caddy makes itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_domain_it_ends_tls_itself() {
    let mut platform = Platform::distributed().await;
    let [https, http] = [(); 2].map(|()| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    });
    let options = format!("\thttp_port {http}\n\thttps_port {https}\n\tskip_install_trust\n");
    let proxy = Proxy::with(&mut platform, &[("KOPECK_DOMAIN", "localhost")], &options).await;
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let path = "/billing/health/ready";
    let ready = eventually("it has a certificate", || async {
        let asked = client
            .get(format!("https://localhost:{https}{path}"))
            .send()
            .await;
        asked.ok()
    })
    .await;
    assert_eq!(ready.status(), StatusCode::OK);
    let plain = client
        .get(format!("http://localhost:{http}{path}"))
        .send()
        .await
        .unwrap();
    assert!(plain.status().is_redirection(), "{plain:?}");
    let led_to = plain.headers()[header::LOCATION].to_str().unwrap();
    assert!(
        led_to.starts_with("https://localhost") && led_to.ends_with(path),
        "{led_to}"
    );
    // What operators and health checks use stays as it was.
    proxy.api.get(path).await.expect(200);
    platform.finish().await;
}

//! A platform under test.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use kopeck::cluster::{Cluster, ServiceProcess, Setup};
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::ServiceName,
    db::{Db, url_of_file},
    ids::new_uuid,
    testing::{Api, eventually, server_variable},
};
use tempfile::TempDir;

pub use crate::processes::{Embedded, PROGRAM, interrupt, run_command, run_embedded};
use crate::{
    processes::{UNLIMITED, run_embedded_with},
    shared_platform::{Mode, reach},
};

pub const ADMIN_EMAIL: &str = "owner@cinema.example";
pub const PASSWORD: &str = "a long enough password";

/// A platform that runs, with an administrator.
pub struct Platform {
    pub api: Api,
    pub admin: Api,
    environment: Vec<(String, String)>,
    /// What the names of its users end with, so that those of other stories are others.
    suffix: String,
    kind: Kind,
}

enum Kind {
    /// Kept for many stories.
    Shared,
    Embedded(Box<Embedded>),
    Distributed(Box<Cluster>),
}

/// Somebody with an account.
#[derive(Clone)]
pub struct User {
    pub id: String,
    pub api: Api,
}

/// The distributed platform on the servers that the test command started.
pub fn setup() -> Setup {
    Setup {
        program: PROGRAM.into(),
        postgres_url: server_variable("TEST_POSTGRES_URL"),
        amqp_url: server_variable("TEST_AMQP_URL"),
        rabbit_api: server_variable("TEST_RABBIT_API"),
        redis_url: Some(server_variable("TEST_REDIS_URL")),
        listen: ([127, 0, 0, 1], 0).into(),
        replicas: 1,
        environment: [("KOPECK_LOG__FILTER", "info,sqlx=warn,lapin=warn")]
            .into_iter()
            .chain(UNLIMITED)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

impl Platform {
    /// One of its own, with nothing on it.
    pub async fn fresh(mode: Mode) -> Self {
        match mode {
            Mode::Embedded => Self::embedded().await,
            Mode::Distributed => Self::distributed().await,
        }
    }

    /// The one that stories of this run share: there are tariffs, campaigns and users of others.
    pub async fn shared(mode: Mode) -> Self {
        shared::host::install_crypto();
        let reached = reach(mode).await;
        let api = Api::new(reached.url);
        let admin = log_in(&api, ADMIN_EMAIL).await;
        Self {
            api,
            admin,
            environment: reached.environment,
            suffix: format!("-{}", new_uuid(SystemClock.now()).simple()),
            kind: Kind::Shared,
        }
    }

    pub async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let embedded = run_embedded(folder.path()).await;
        Self::of_one(embedded, folder, &[]).await
    }

    /// With more configuration, and its log in a file.
    pub async fn embedded_with(variables: &[(&str, &str)]) -> Self {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::embedded_in(tempfile::tempdir().unwrap(), &variables).await
    }

    /// The same on what is in `folder`.
    pub async fn embedded_in(folder: TempDir, variables: &[(String, String)]) -> Self {
        let log = std::fs::File::create(folder.path().join("kopeck.log")).unwrap();
        let borrowed: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let embedded = run_embedded_with(folder.path(), &borrowed, log.into()).await;
        Self::of_one(embedded, folder, variables).await
    }

    async fn of_one(embedded: Embedded, folder: TempDir, variables: &[(String, String)]) -> Self {
        shared::host::install_crypto();
        let mut environment = variables.to_vec();
        environment.push(("KOPECK_DATA".to_owned(), folder.path().display().to_string()));
        let api = Api::new(format!("http://{}", embedded.address));
        // The folder lives as long as the process.
        let kind = Kind::Embedded(Box::new(embedded));
        Self::with_admin(api, environment, kind, Some(folder)).await
    }

    pub async fn distributed() -> Self {
        Self::of(setup()).await
    }

    /// With so many processes a service, and more configuration.
    pub async fn distributed_with(replicas: usize, variables: &[(&str, &str)]) -> Self {
        let mut setup = Setup { replicas, ..setup() };
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        setup.environment.extend(variables);
        Self::of(setup).await
    }

    /// A distributed platform as in `setup`.
    pub async fn of(setup: Setup) -> Self {
        shared::host::install_crypto();
        let cluster = Cluster::start(setup).await.unwrap();
        let api = Api::new(format!("http://{}", cluster.address()));
        let environment = cluster.environment().to_vec();
        Self::with_admin(api, environment, Kind::Distributed(Box::new(cluster)), None).await
    }

    async fn with_admin(
        api: Api,
        environment: Vec<(String, String)>,
        kind: Kind,
        folder: Option<TempDir>,
    ) -> Self {
        let made = run_command(
            &["admin", "create", "--email", ADMIN_EMAIL],
            &environment,
            PASSWORD,
        )
        .await;
        assert!(made.status.success(), "{made:?}");
        let admin = log_in(&api, ADMIN_EMAIL).await;
        // Removed when the machine cleans up if a test fails; by `finish` if it passes.
        std::mem::forget(folder);
        Self {
            api,
            admin,
            environment,
            suffix: String::new(),
            kind,
        }
    }

    /// The configuration that commands beside the platform need.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The processes of a distributed platform.
    pub fn cluster(&mut self) -> &mut Cluster {
        match &mut self.kind {
            Kind::Distributed(cluster) => cluster,
            Kind::Embedded(_) | Kind::Shared => panic!("not a distributed platform of its own"),
        }
    }

    /// From now on commands beside the platform, and the test's own look-ups, use `to` where the
    /// services use `from`.
    pub fn go_around(&mut self, from: &str, to: &str) {
        for (_, value) in &mut self.environment {
            *value = value.replace(from, to);
        }
    }

    /// Each process, without a gateway in between.
    pub fn processes(&self) -> Vec<Api> {
        match &self.kind {
            Kind::Shared => panic!("its processes are also those of other stories"),
            Kind::Embedded(embedded) => vec![Api::new(format!("http://{}", embedded.address))],
            Kind::Distributed(cluster) => cluster
                .addresses()
                .map(|address| Api::new(format!("http://{address}")))
                .collect(),
        }
    }

    /// Where the processes of `service` serve, of a distributed platform.
    pub fn addresses(&mut self, service: ServiceName) -> Vec<SocketAddr> {
        match &mut self.kind {
            Kind::Embedded(_) | Kind::Shared => Vec::new(),
            Kind::Distributed(cluster) => {
                let processes = cluster.processes(service).iter();
                processes.map(ServiceProcess::address).collect()
            }
        }
    }

    /// The logs of its processes; of one process, if it was started with more configuration.
    pub fn logs(&self) -> Vec<PathBuf> {
        let folder = match &self.kind {
            Kind::Embedded(_) | Kind::Shared => {
                Path::new(self.value_of("KOPECK_DATA").expect("a data folder"))
            }
            Kind::Distributed(cluster) => cluster.folder(),
        };
        files_in(folder, "log")
    }

    /// The files of its databases, if they are files.
    pub fn database_files(&self) -> Vec<PathBuf> {
        let Some(folder) = self.value_of("KOPECK_DATA") else {
            return Vec::new();
        };
        let mut files = files_in(Path::new(folder), "db");
        files.extend(files_in(Path::new(folder), "db-wal"));
        files
    }

    /// A value of the configuration that commands beside the platform need.
    pub fn value_of(&self, variable: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(name, _)| name == variable);
        found.map(|(_, value)| value.as_str())
    }

    /// The virtual host of a distributed platform.
    pub fn virtual_host(&self) -> Option<String> {
        let url = self.value_of("KOPECK_BUS__URL")?;
        url.rsplit('/').next().map(str::to_owned)
    }

    /// The database of `service`, for what no API shows.
    pub async fn database(&self, service: ServiceName) -> Db {
        let variable = format!("KOPECK_{}__DATABASE_URL", service.as_str().to_uppercase());
        let url = self.value_of(&variable).map(str::to_owned).unwrap_or_else(|| {
            let folder = self.value_of("KOPECK_DATA");
            let folder = folder.expect("a database URL or a data folder");
            url_of_file(&Path::new(folder).join(format!("{service}.db")))
        });
        Db::connect(service, &url, Arc::new(SystemClock))
            .await
            .expect("a database")
            .0
    }

    /// The address of a user with this name.
    pub fn email(&self, name: &str) -> String {
        format!("{name}{}@mail.example", self.suffix)
    }

    /// Somebody new, logged in, with this much in the wallet.
    pub async fn user(&self, name: &str, balance: i64) -> User {
        let email = self.email(name);
        let body = json!({"email": email, "password": PASSWORD});
        let registered = self.api.post("/auth/v1/register", &body).await.expect(201);
        let user = User {
            id: registered["id"].as_str().expect("an id").to_owned(),
            api: log_in(&self.api, &email).await,
        };
        if balance > 0 {
            user.top_up(balance).await.expect(200);
        }
        user
    }

    pub async fn tariff(&self, name: &str, price: i64) -> String {
        let body = json!({"name": name, "price": rub(price), "period": "P1M"});
        let tariff = self.admin.post("/billing/v1/tariffs", &body).await.expect(201);
        tariff["id"].as_str().expect("an id").to_owned()
    }

    pub async fn campaign(&self, body: Value) -> Value {
        self.admin.post("/loyalty/v1/campaigns", &body).await.expect(201)
    }

    /// The redemptions of a campaign with this status.
    pub async fn redemptions(&self, campaign: &Value, status: &str) -> usize {
        let first = format!(
            "/loyalty/v1/campaigns/{}/redemptions?limit=200",
            campaign["id"].as_str().unwrap()
        );
        let (mut path, mut count) = (first.clone(), 0);
        loop {
            let page = self.admin.get(&path).await.expect(200);
            let items = page["items"].as_array().unwrap();
            count += items
                .iter()
                .filter(|redemption| redemption["status"] == status)
                .count();
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("{first}&cursor={cursor}"),
                None => return count,
            }
        }
    }

    /// Ends the story: everything comes to rest, the books are right, and the platform stops cleanly if no
    /// other story shares it.
    pub async fn finish(self) {
        eventually("the books are right", || async {
            let output = run_command(&["reconcile", "--older-than", "0"], &self.environment, "").await;
            if !output.status.success() {
                eprintln!("{}", String::from_utf8_lossy(&output.stdout));
            }
            output.status.success().then_some(())
        })
        .await;
        match self.kind {
            Kind::Shared => return,
            Kind::Embedded(embedded) => assert!(interrupt(embedded.child).await.success()),
            Kind::Distributed(cluster) => cluster.stop().await.unwrap(),
        }
        let folder = self.environment.iter().find(|(name, _)| name == "KOPECK_DATA");
        if let Some((_, folder)) = folder {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }

    /// Ends its processes at once.
    pub fn abandon(self) {
        drop(self.kind);
        let folder = self.environment.iter().find(|(name, _)| name == "KOPECK_DATA");
        if let Some((_, folder)) = folder {
            // What still writes there is about to end.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// What a platform needs to mail, and log in full what is ours.
pub fn mailing_through(server: SocketAddr) -> [(&'static str, &'static str); 5] {
    [
        (
            "KOPECK_NOTIFICATIONS__MAIL_URL",
            format!("smtp://{server}").leak(),
        ),
        (
            "KOPECK_NOTIFICATIONS__MAIL_FROM",
            "Cinema <noreply@cinema.example>",
        ),
        ("KOPECK_NOTIFICATIONS__PUBLIC_URL", "https://cinema.example"),
        ("KOPECK_AUTH__TRUSTED_PROXIES", "127.0.0.1"),
        (
            "KOPECK_LOG__FILTER",
            "debug,shared=trace,auth=trace,loyalty=trace,billing=trace,notifications=trace",
        ),
    ]
}

pub async fn log_in(api: &Api, email: &str) -> Api {
    let body = json!({"email": email, "password": PASSWORD});
    let tokens = api.post("/auth/v1/login", &body).await.expect(200);
    api.with_token(tokens["access_token"].as_str().expect("a token"))
}

pub fn rub(amount: i64) -> Value {
    json!({"amount": amount, "currency": "RUB"})
}

impl User {
    pub async fn top_up(&self, amount: i64) -> shared::testing::Answer {
        self.api.post("/billing/v1/balance/top-up", &rub(amount)).await
    }

    pub async fn balance(&self) -> i64 {
        let body = self.api.get("/billing/v1/balance").await.expect(200);
        body["balance"]["amount"].as_i64().expect("an amount")
    }

    pub async fn buy(&self, tariff: &str, promocode: Option<&str>) -> shared::testing::Answer {
        let mut body = json!({"tariff_id": tariff});
        if let Some(promocode) = promocode {
            body["promocode"] = json!(promocode);
        }
        let answer = self.api.post("/billing/v1/purchases", &body).await;
        if answer.status.as_u16() != 202 {
            return answer;
        }
        // Slower than the request waits, on a busy machine: look the outcome up.
        let id = answer.body["id"].as_str().expect("an id").to_owned();
        eventually("the purchase ends", || async {
            let purchase = self.api.get(&format!("/billing/v1/purchases/{id}")).await;
            (purchase.body["status"] != "pending").then_some(purchase)
        })
        .await
    }

    /// Waits until as many letters are there; newest first.
    pub async fn letters(&self, count: usize) -> Vec<Value> {
        let letters = eventually(&format!("{count} letters are there"), || async {
            let page = self
                .api
                .get("/notifications/v1/letters?limit=200")
                .await
                .expect(200);
            let letters = page["items"].as_array().expect("a list").clone();
            (letters.len() >= count).then_some(letters)
        })
        .await;
        assert_eq!(letters.len(), count, "{letters:#?}");
        letters
    }
}

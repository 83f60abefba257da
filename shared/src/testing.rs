//! What tests stand on: one service run alone, with the test in the place of everybody else.
//!
//! The service is the real one, with its real database and HTTP; the test issues its tokens,
//! says what other services would say, and hears what it says.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc)] // a test fails by panicking

mod api;
mod databases;
mod issuer;
mod mail_server;
mod peers;
mod routes;
mod statements;

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, Statement};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

pub use api::{Answer, Api};
pub use databases::{build, migrated_postgres_database, new_postgres_database};
pub use issuer::Issuer;
pub use mail_server::{Mail, MailServer};
pub use peers::Peers;
pub use routes::{Call, Cast, Routes};
pub(crate) use statements::watch;

use crate::{
    bus::{Bus, embedded::EmbeddedBus},
    clock::{Clock, SystemClock},
    config::Config,
    contracts::{Permission, ServiceName},
    db::Db,
    host::{self, Definition, Running},
    ids::UserId,
};

/// How long a test waits for something to become true.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Which database a service is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestDatabase {
    /// A file of its own.
    Sqlite,
    /// A database of its own on the PostgreSQL that the test command started.
    Postgres,
}

/// One service under test.
pub struct TestService {
    /// Its API.
    pub api: Api,
    /// Everybody else, played by the test.
    pub peers: Peers,
    /// Its database, for what no API shows.
    pub db: Db,
    url: String,
    issuer: Issuer,
    clock: Arc<dyn Clock>,
    running: Option<Running>,
    _folder: TempDir,
}

impl TestService {
    /// Starts the service on a database of its own, with the system's clock.
    pub async fn start(definition: Definition, database: TestDatabase) -> Self {
        Self::start_with(definition, database, Arc::new(SystemClock), |_| {}).await
    }

    /// Starts the service with this clock and changed configuration.
    pub async fn start_with(
        definition: Definition,
        database: TestDatabase,
        clock: Arc<dyn Clock>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let issuer = Issuer::start().await;
        let mut config = Config {
            data: folder.path().to_path_buf(),
            ..Config::default()
        };
        config.listen = ([127, 0, 0, 1], 0).into();
        if definition.name != ServiceName::Auth {
            config.auth.url = Some(issuer.url());
        }
        let mut migrated = None;
        if database == TestDatabase::Postgres {
            let copy = migrated_postgres_database(&definition).await;
            let url = Some(SecretString::from(copy.clone()));
            migrated = Some(copy);
            match definition.name {
                ServiceName::Auth => config.auth.database_url = url,
                ServiceName::Loyalty => config.loyalty.database_url = url,
                ServiceName::Billing => config.billing.database_url = url,
                ServiceName::Notifications => config.notifications.database_url = url,
            }
        }
        configure(&mut config);
        let url = config.database_url(definition.name);
        let url = url.expose_secret().to_owned();
        let (db, _) = Db::connect(definition.name, &url, Arc::clone(&clock))
            .await
            .expect("a database");
        if migrated.as_deref() != Some(&url) {
            (definition.migrate)(db.writer()).await.expect("migrations");
        }
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::new());
        let running = host::start_on(Arc::clone(&bus), config, &[definition], Arc::clone(&clock))
            .await
            .expect("the service starts");
        let api = Api::new(format!("http://{}", running.address()));
        let issuer = if definition.name == ServiceName::Auth {
            key_of_auth(&db, api.base()).await
        } else {
            issuer
        };
        let peers = Peers::new(bus, definition.name, Arc::clone(&clock));
        Self {
            api,
            peers,
            db,
            url,
            issuer,
            clock,
            running: Some(running),
            _folder: folder,
        }
    }

    /// An access token of `user` with these permissions, as auth would issue it.
    #[must_use]
    pub fn token(&self, user: UserId, permissions: &[Permission]) -> String {
        self.issuer.token(user, permissions, self.clock.now())
    }

    /// An access token of the program `program` with these permissions, as auth would issue it.
    #[must_use]
    pub fn token_of_program(&self, program: UserId, permissions: &[Permission]) -> String {
        self.issuer
            .token_of_program(program, permissions, self.clock.now())
    }

    /// A new user's id.
    #[must_use]
    pub fn new_user(&self) -> UserId {
        UserId::new(self.clock.now())
    }

    /// The API as `user` without special permissions sees it.
    #[must_use]
    pub fn api_of(&self, user: UserId) -> Api {
        self.api.with_token(self.token(user, &[]))
    }

    /// The API as an administrator with every permission of a role sees it.
    #[must_use]
    pub fn api_of_admin(&self) -> Api {
        let permissions: Vec<_> = Permission::grantable().collect();
        self.api.with_token(self.token(self.new_user(), &permissions))
    }

    /// Listens to what the service asks of its database.
    pub fn listen_to_database(&self) {
        statements::listen(&self.url);
    }

    /// The statements since [`Self::listen_to_database`], in their order and without values.
    #[must_use]
    pub fn asked_of_database(&self) -> Vec<String> {
        statements::heard(&self.url)
    }

    /// Stops the service as a shutdown would.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

/// Auth issues its tokens itself: the test has its key from its database.
async fn key_of_auth(db: &Db, url: &str) -> Issuer {
    let conn = db.reader();
    let sql = "SELECT kid, pkcs8 FROM signing_keys ORDER BY created_at DESC LIMIT 1";
    let query = Statement::from_string(conn.get_database_backend(), sql);
    let row = conn.query_one_raw(query).await.expect("a query").expect("a key");
    Issuer::with_key_of(
        url.to_owned(),
        row.try_get("", "kid").expect("a name"),
        row.try_get("", "pkcs8").expect("a key"),
    )
}

/// Waits until `look` gives a value, and fails after [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    eventually_within(PATIENCE, what, look).await
}

/// The same with another patience, for what may take longer by design.
pub async fn eventually_within<T, F>(patience: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A variable that the test command sets; missing, it says how to set it.
#[must_use]
#[allow(clippy::disallowed_methods)] // the servers' addresses are no configuration of Kopeck
pub fn server_variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with ./test"))
}

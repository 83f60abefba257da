//! Databases for tests: empty ones, and copies of one that was migrated once.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::UNIX_EPOCH,
};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};

use super::server_variable;
use crate::{
    clock::{Clock as _, SystemClock},
    db::Db,
    host::Definition,
    ids::new_uuid,
};

/// Copies of files, which is several times as fast as copies through the log (`WAL_LOG`).
const COPY: &str = "STRATEGY FILE_COPY";

/// A new, empty database on the PostgreSQL that the test command started; its URL.
pub async fn new_postgres_database() -> String {
    let server = Server::connect().await;
    let name = new_name();
    server.run(&format!("CREATE DATABASE {name} {COPY}")).await;
    server.close(&name).await
}

/// A new database there with the tables of a service, and nothing in them; its URL.
///
/// It is a copy of a template, which the first caller of a run makes with the service's migrations.
pub async fn migrated_postgres_database(definition: &Definition) -> String {
    let server = Server::connect().await;
    let template = template_name(definition);
    if !server.has(&template).await {
        server.make_template(definition, &template).await;
    }
    let name = new_name();
    server
        .run(&format!("CREATE DATABASE {name} TEMPLATE {template} {COPY}"))
        .await;
    server.close(&name).await
}

fn new_name() -> String {
    format!("t{}", new_uuid(SystemClock.now()).simple())
}

/// Another build may have other migrations under the same names, so each build has its own template.
fn template_name(definition: &Definition) -> String {
    format!("template_{}_{}", definition.name, build())
}

/// What tells the build of this test program from others, in small letters and digits.
#[must_use]
pub fn build() -> String {
    let program = std::env::current_exe().expect("the program of the test");
    let metadata = program.metadata().expect("the program of the test");
    let built = metadata.modified().expect("when it was built");
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    metadata.len().hash(&mut hasher);
    built
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

/// A connection to the maintenance database of the test command's PostgreSQL.
struct Server {
    url: String,
    conn: DatabaseConnection,
}

impl Server {
    async fn connect() -> Self {
        let url = server_variable("TEST_POSTGRES_URL");
        let mut options = ConnectOptions::new(&url);
        options.max_connections(1).sqlx_logging(false);
        let conn = Database::connect(options).await.expect("PostgreSQL");
        Self { url, conn }
    }

    async fn run(&self, statement: &str) {
        self.conn
            .execute_unprepared(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    async fn has(&self, database: &str) -> bool {
        let query = format!("SELECT 1 FROM pg_database WHERE datname = '{database}'");
        let backend = self.conn.get_database_backend();
        let found = self
            .conn
            .query_one_raw(sea_orm::Statement::from_string(backend, query))
            .await;
        found.expect("the databases are listed").is_some()
    }

    fn url_of(&self, database: &str) -> String {
        let (before, _) = self.url.rsplit_once('/').expect("a database in the URL");
        format!("{before}/{database}")
    }

    /// Tests of other processes may want the same template: one makes it, the others wait for it.
    /// It gets its name when it is complete, so that one that was broken off is never copied.
    async fn make_template(&self, definition: &Definition, template: &str) {
        // Released when this connection is closed, however the test ends.
        self.run(&format!("SELECT pg_advisory_lock(hashtext('{template}'))"))
            .await;
        if self.has(template).await {
            return;
        }
        let unfinished = format!("{template}_new");
        self.run(&format!("DROP DATABASE IF EXISTS {unfinished}")).await;
        self.run(&format!("CREATE DATABASE {unfinished} {COPY}")).await;
        let url = self.url_of(&unfinished);
        let (db, _) = Db::connect(definition.name, &url, Arc::new(SystemClock))
            .await
            .expect("a database");
        (definition.migrate)(db.writer()).await.expect("migrations");
        db.close().await;
        self.run(&format!("ALTER DATABASE {unfinished} RENAME TO {template}"))
            .await;
    }

    /// Closes the connection; the URL of `database`.
    async fn close(self, database: &str) -> String {
        let url = self.url_of(database);
        self.conn.close().await.expect("the connection closes");
        url
    }
}

//! One platform a mode, for all stories that leave it as they found it.
//!
//! The first story that needs it starts a keeper: this test program again, with one of the tests in [`keeper`],
//! which starts the platform, notes in the PostgreSQL of the test command how it is reached, and keeps it until
//! that PostgreSQL stops. So it is shared also where a runner gives each test a process of its own.

use std::{
    io::{Read as _, Seek as _},
    process::Stdio,
    time::Duration,
};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde::{Deserialize, Serialize};
use shared::testing::{build, server_variable};
use tokio::{process::Command, time::Instant};

use crate::platform::Platform;

/// In which a keeper has its platform ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a platform is made of its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All in one process, on embedded parts.
    Embedded,
    /// A process each, on PostgreSQL, RabbitMQ and Redis.
    Distributed,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Distributed => "distributed",
        }
    }
}

/// How a platform is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reached {
    /// `http://…`
    pub url: String,
    /// The configuration of commands beside it.
    pub environment: Vec<(String, String)>,
}

/// The platform of this mode, which runs when this returns.
pub async fn reach(mode: Mode) -> Reached {
    let board = Board::connect(mode).await;
    if let Some(reached) = board.read().await {
        return reached;
    }
    // One story starts the keeper, the others wait; released when the connection is closed.
    board
        .run(&format!("SELECT pg_advisory_lock(hashtext('{}'))", board.table))
        .await;
    if let Some(reached) = board.read().await {
        return reached;
    }
    start_keeper(mode, &board).await
}

async fn start_keeper(mode: Mode, board: &Board) -> Reached {
    let mut log = tempfile::tempfile().unwrap();
    let mut keeper = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "--exact"])
        .arg(format!("shared_platform::keeper::{}", mode.as_str()))
        .current_dir(std::env::temp_dir())
        // It outlives this test.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log.try_clone().unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(reached) = board.read().await {
            return reached;
        }
        if keeper.try_wait().unwrap().is_some() || Instant::now() > deadline {
            let mut said = String::new();
            log.rewind().unwrap();
            log.read_to_string(&mut said).unwrap();
            panic!("the shared {} platform does not start:\n{said}", mode.as_str());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts the platform and keeps it as long as the servers of the test command run.
async fn keep(mode: Mode) {
    let board = Board::connect(mode).await;
    let platform = Platform::fresh(mode).await;
    let reached = Reached {
        url: platform.api.base().to_owned(),
        environment: platform.environment().to_vec(),
    };
    board.note(&reached).await;
    while board.answers().await {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    platform.abandon();
}

mod keeper {
    use super::{Mode, keep};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "no test: it keeps the platform that stories share, and the first of them starts it"]
    async fn embedded() {
        keep(Mode::Embedded).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "no test: it keeps the platform that stories share, and the first of them starts it"]
    async fn distributed() {
        keep(Mode::Distributed).await;
    }
}

/// Where keepers note how their platform is reached: a table of this build and mode in the maintenance
/// database of the test command's PostgreSQL.
struct Board {
    conn: DatabaseConnection,
    table: String,
}

impl Board {
    async fn connect(mode: Mode) -> Self {
        let mut options = ConnectOptions::new(server_variable("TEST_POSTGRES_URL"));
        options
            .max_connections(1)
            // For how long a keeper looks for servers that have stopped.
            .acquire_timeout(Duration::from_secs(5))
            .sqlx_logging(false);
        let conn = Database::connect(options).await.expect("PostgreSQL");
        let table = format!("platform_{}_{}", mode.as_str(), build());
        Self { conn, table }
    }

    async fn run(&self, statement: &str) {
        self.conn.execute_unprepared(statement).await.unwrap();
    }

    /// What its keeper has noted, if it has.
    async fn read(&self) -> Option<Reached> {
        let sql = format!("SELECT to_regclass('{}') IS NOT NULL AS there", self.table);
        if !self.value::<bool>(&sql, "there").await? {
            return None;
        }
        let sql = format!("SELECT reached FROM {}", self.table);
        let reached = self.value::<String>(&sql, "reached").await?;
        Some(serde_json::from_str(&reached).unwrap())
    }

    async fn value<T: sea_orm::TryGetable>(&self, sql: &str, column: &str) -> Option<T> {
        let statement = Statement::from_string(DbBackend::Postgres, sql.to_owned());
        let row = self.conn.query_one_raw(statement).await.unwrap()?;
        Some(row.try_get("", column).unwrap())
    }

    /// A keeper that comes second, because the story that started the first one was killed, changes nothing.
    async fn note(&self, reached: &Reached) {
        let reached = serde_json::to_string(reached).unwrap().replace('\'', "''");
        let table = &self.table;
        let _ = self
            .conn
            .execute_unprepared(&format!(
                "CREATE TABLE {table} AS SELECT '{reached}'::text AS reached"
            ))
            .await;
    }

    async fn answers(&self) -> bool {
        self.conn.execute_unprepared("SELECT 1").await.is_ok()
    }
}

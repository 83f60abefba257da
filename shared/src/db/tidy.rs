//! Files that keep nothing of what was erased.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{
    DbBackend, DbErr, RuntimeErr,
    sqlx::{AssertSqlSafe, Error, Executor as _},
};

use super::{Db, connect::BUSY};
use crate::host::{Job, JobError};

/// How long it may wait for whoever reads. Nobody can write meanwhile.
const SHORT: Duration = Duration::from_millis(200);

/// Empties the log beside an embedded database into it. What was written and then erased is in that
/// log until something else happens to be written over it, which on a quiet platform is never; in the
/// database itself what is erased is overwritten at once (`secure_delete`).
pub(crate) struct TidyFile(pub(crate) Db);

impl TidyFile {
    /// Whether there is a file to be tidied.
    pub(crate) fn is_needed(&self) -> bool {
        self.0.writer().get_database_backend() == DbBackend::Sqlite
    }

    async fn tidy(&self) -> Result<(), Error> {
        // A reader's, so that whoever writes does not wait for a connection.
        let mut connection = self.0.reader().get_sqlite_connection_pool().acquire().await?;
        let wait = |time: Duration| AssertSqlSafe(format!("PRAGMA busy_timeout = {}", time.as_millis()));
        connection.execute(wait(SHORT)).await?;
        // Where it had to wait for too long it says so in its answer, and does it the next time.
        let tidied = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        connection.execute(wait(BUSY)).await?;
        tidied.map(drop)
    }
}

#[async_trait]
impl Job for TidyFile {
    fn name(&self) -> &'static str {
        "tidy_file"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn run(&self) -> Result<(), JobError> {
        let tidied = self.tidy().await;
        Ok(tidied.map_err(|error| DbErr::Exec(RuntimeErr::SqlxError(error.into())))?)
    }
}

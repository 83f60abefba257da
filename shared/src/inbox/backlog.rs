//! What waits in the inbox, for the metrics.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};

/// What waits after it has failed; each counted to [`MOST_COUNTED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Backlog {
    /// Messages that will be tried again.
    pub retry: i64,
    /// Messages that wait for an administrator.
    pub parked: i64,
}

/// Beyond this there are only more: counting is to cost little, most of all when much waits.
pub const MOST_COUNTED: i64 = 10_000;

/// What waits at the moment. Each status is written out, so that its partial index is used: by
/// far most rows are `done`.
///
/// # Errors
/// When the database does not answer.
pub async fn backlog(conn: &impl ConnectionTrait) -> Result<Backlog, DbErr> {
    let count = |status: &str| {
        format!(
            "(SELECT COUNT(*) FROM (SELECT 1 FROM inbox WHERE status = '{status}' LIMIT {MOST_COUNTED}) AS counted)"
        )
    };
    let query = format!(
        "SELECT {} AS retry, {} AS parked",
        count("retry"),
        count("parked")
    );
    let waiting = Backlog::find_by_statement(Statement::from_string(conn.get_database_backend(), query))
        .one(conn)
        .await?;
    Ok(waiting.unwrap_or(Backlog { retry: 0, parked: 0 }))
}

//! What waits in the outbox, for the metrics.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement, sea_query::SimpleExpr,
};

use super::entity::{Column, Entity};
use crate::clock::Instant;

/// What waits to be confirmed, or acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many messages, counted to [`MOST_COUNTED`].
    pub messages: i64,
    /// When the oldest of them was said; none if there is none.
    pub oldest_at: Option<Instant>,
    /// When the oldest message was said that was published and that some subscriber has not acknowledged;
    /// none if there is none.
    pub unacknowledged_since: Option<Instant>,
}

/// Beyond this there are only more: counting is to cost little, most of all when much waits.
pub const MOST_COUNTED: i64 = 10_000;

#[derive(FromQueryResult)]
struct Counted {
    messages: i64,
}

/// What waits at the moment. Cheap: at most [`MOST_COUNTED`] rows are looked at, and ids sort by
/// when they were made, so that the oldest is the first of the primary key.
///
/// # Errors
/// When the database does not answer.
pub async fn backlog(conn: &impl ConnectionTrait) -> Result<Backlog, DbErr> {
    let count = format!(
        "SELECT COUNT(*) AS messages FROM (SELECT 1 FROM outbox WHERE awaiting IS NULL LIMIT {MOST_COUNTED}) AS counted"
    );
    let counted = Counted::find_by_statement(Statement::from_string(conn.get_database_backend(), count))
        .one(conn)
        .await?;
    Ok(Backlog {
        messages: counted.map_or(0, |counted| counted.messages),
        oldest_at: oldest(conn, Column::Awaiting.is_null()).await?,
        unacknowledged_since: oldest(conn, Column::Awaiting.is_not_null()).await?,
    })
}

/// When the oldest message was said of those that `are`.
async fn oldest(conn: &impl ConnectionTrait, are: SimpleExpr) -> Result<Option<Instant>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::CreatedAt)
        .filter(are)
        .order_by_asc(Column::Id)
        .limit(1)
        .into_tuple::<Instant>()
        .one(conn)
        .await
}

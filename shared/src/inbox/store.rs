//! The inbox table.

use std::collections::HashSet;

use chrono::Duration;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, DeriveActiveEnum, EntityTrait, EnumIter, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{LockBehavior, LockType, OnConflict, StringLen},
};

use crate::{clock::Instant, ids::MessageId};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
pub enum Status {
    /// Applied.
    #[sea_orm(string_value = "done")]
    Done,
    /// Failed, and will be tried again.
    #[sea_orm(string_value = "retry")]
    Retry,
    /// Failed for good; waits for an administrator.
    #[sea_orm(string_value = "parked")]
    Parked,
}

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;

    use crate::{clock::Instant, ids::MessageId};

    /// A message that came in.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "inbox")]
    pub struct Model {
        /// The envelope's id; for what has none, one derived from its bytes.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: MessageId,
        /// What became of it.
        pub status: super::Status,
        /// When it came first.
        pub received_at: Instant,
        /// How often it has failed.
        pub attempts: i32,
        /// When it is tried again.
        pub next_attempt_at: Option<Instant>,
        /// Why it failed last, in short.
        pub error: Option<String>,
        /// What came; kept only of what failed.
        pub body: Option<String>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

const CHUNK: usize = 1_000;

/// Bytes of an error's text that are kept.
const LONGEST_ERROR: usize = 4_096;

/// For how long a repeat of a message is recognised.
pub(super) const MEMORY: Duration = Duration::days(7);

/// A text that both databases take: PostgreSQL's has no NUL. JSON escapes it, so that what is
/// an envelope stays as it is.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn storable_error(text: &str) -> String {
    let mut text = storable(text);
    text.truncate(text.floor_char_boundary(LONGEST_ERROR));
    text
}

/// Records `ids` as applied, and says which of them were new.
pub(super) async fn claim(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
    now: Instant,
) -> Result<HashSet<MessageId>, DbErr> {
    let mut fresh = HashSet::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let rows = chunk.iter().map(|id| ActiveModel {
            id: Set(*id),
            status: Set(Status::Done),
            received_at: Set(now),
            attempts: Set(0),
            next_attempt_at: Set(None),
            error: Set(None),
            body: Set(None),
        });
        let inserted = Entity::insert_many(rows)
            .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
            .exec_with_returning_keys(conn)
            .await;
        match inserted {
            Ok(keys) => fresh.extend(keys),
            Err(DbErr::RecordNotInserted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(fresh)
}

/// A message that failed.
pub(super) struct Failure<'a> {
    pub id: MessageId,
    pub status: Status,
    pub next_attempt_at: Option<Instant>,
    /// Of any length; what is too much is cut.
    pub error: &'a str,
    pub body: &'a str,
}

/// Keeps a message that failed alone. One that is here already stays as it is.
pub(super) async fn keep(
    conn: &impl ConnectionTrait,
    failure: Failure<'_>,
    now: Instant,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(failure.id),
        status: Set(failure.status),
        received_at: Set(now),
        attempts: Set(1),
        next_attempt_at: Set(failure.next_attempt_at),
        error: Set(Some(storable_error(failure.error))),
        body: Set(Some(storable(failure.body))),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// One message that is to be tried again by now, locked for this transaction.
pub(super) async fn lock_due(conn: &impl ConnectionTrait, now: Instant) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.eq(Status::Retry))
        .filter(Column::NextAttemptAt.lte(now))
        .order_by_asc(Column::NextAttemptAt)
        .limit(1)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(conn)
        .await
}

/// Whether any message is to be tried again by now.
pub(super) async fn any_due(conn: &impl ConnectionTrait, now: Instant) -> Result<bool, DbErr> {
    let row = Entity::find()
        .filter(Column::Status.eq(Status::Retry))
        .filter(Column::NextAttemptAt.lte(now))
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// The message was applied after all.
pub(super) async fn mark_done(conn: &impl ConnectionTrait, id: MessageId) -> Result<(), DbErr> {
    Entity::update(ActiveModel {
        id: Set(id),
        status: Set(Status::Done),
        next_attempt_at: Set(None),
        body: Set(None),
        ..Default::default()
    })
    .exec(conn)
    .await?;
    Ok(())
}

/// The message failed again; `next_attempt_at` is absent when it is given up.
pub(super) async fn mark_failed(
    conn: &impl ConnectionTrait,
    id: MessageId,
    attempts: i32,
    next_attempt_at: Option<Instant>,
    error: &str,
) -> Result<(), DbErr> {
    let status = if next_attempt_at.is_some() {
        Status::Retry
    } else {
        Status::Parked
    };
    Entity::update_many()
        .set(ActiveModel {
            status: Set(status),
            attempts: Set(attempts),
            next_attempt_at: Set(next_attempt_at),
            error: Set(Some(storable_error(error))),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        // Another replica may have had more luck meanwhile.
        .filter(Column::Status.eq(Status::Retry))
        .exec(conn)
        .await?;
    Ok(())
}

/// Forgets what was applied so long ago that no repeat can come any more.
pub(super) async fn forget(conn: &impl ConnectionTrait, now: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Status.eq(Status::Done))
        .filter(Column::ReceivedAt.lt(now - MEMORY))
        .exec(conn)
        .await?;
    Ok(())
}

/// What waits for an administrator, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn parked(conn: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.eq(Status::Parked))
        .order_by_asc(Column::ReceivedAt)
        .limit(limit)
        .all(conn)
        .await
}

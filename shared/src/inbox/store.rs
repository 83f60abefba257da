//! The inbox table.

use std::collections::{HashMap, HashSet};

use chrono::Duration;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, DeriveActiveEnum, EntityTrait, EnumIter, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
    sea_query::{ExprTrait as _, LockBehavior, LockType, OnConflict, StringLen},
};

use crate::{clock::Instant, db, ids::MessageId};

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
    /// Given up by an administrator. Known like what was applied, so that no repeat of it is.
    #[sea_orm(string_value = "dropped")]
    Dropped,
}

impl Status {
    /// As it stands in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Parked => "parked",
            Self::Dropped => "dropped",
        }
    }
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
        /// When it came first; of what failed before and then was applied or dropped, when that
        /// was done. A repeat is recognised for as long as the inbox remembers after this.
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

/// Keeps a message that failed alone. One that is here already stays as it is; false then.
pub(super) async fn keep(
    conn: &impl ConnectionTrait,
    failure: Failure<'_>,
    now: Instant,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(failure.id),
        status: Set(failure.status),
        received_at: Set(now),
        attempts: Set(1),
        next_attempt_at: Set(failure.next_attempt_at),
        error: Set(Some(storable_error(failure.error))),
        body: Set(Some(storable(failure.body))),
    };
    let inserted = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted > 0)
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

/// The message was applied after all. From now on a repeat of it must be recognised for as long as
/// one of what was applied at once.
pub(super) async fn mark_done(conn: &impl ConnectionTrait, id: MessageId, now: Instant) -> Result<(), DbErr> {
    Entity::update(ActiveModel {
        id: Set(id),
        status: Set(Status::Done),
        received_at: Set(now),
        next_attempt_at: Set(None),
        body: Set(None),
        ..Default::default()
    })
    .exec(conn)
    .await?;
    Ok(())
}

/// The message failed again; `next_attempt_at` is absent when it is given up. False if it was no
/// longer as this try had found it, and is left so.
pub(super) async fn mark_failed(
    conn: &impl ConnectionTrait,
    id: MessageId,
    attempts: i32,
    next_attempt_at: Option<Instant>,
    error: &str,
) -> Result<bool, DbErr> {
    let status = if next_attempt_at.is_some() {
        Status::Retry
    } else {
        Status::Parked
    };
    let updated = Entity::update_many()
        .set(ActiveModel {
            status: Set(status),
            attempts: Set(attempts),
            next_attempt_at: Set(next_attempt_at),
            error: Set(Some(storable_error(error))),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        // Another replica may have had more luck meanwhile, or an administrator begun anew.
        .filter(Column::Status.eq(Status::Retry))
        .filter(Column::Attempts.eq(attempts - 1))
        .exec(conn)
        .await?;
    Ok(updated.rows_affected > 0)
}

/// Forgets what was applied, or dropped, so long ago that no repeat can come any more.
pub(super) async fn forget(conn: &impl ConnectionTrait, now: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Status.is_in([Status::Done, Status::Dropped]))
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
    failed(conn, &[Status::Parked], None, limit).await
}

/// What has one of these statuses, oldest first, from behind `after` on.
pub(super) async fn failed(
    conn: &impl ConnectionTrait,
    statuses: &[Status],
    after: Option<(Instant, MessageId)>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let (at, id) = (Column::ReceivedAt, Column::Id);
    let mut select = of_status(statuses);
    if let Some((last_at, last_id)) = after {
        select = select.filter(at.gt(last_at).or(at.eq(last_at).and(id.gt(last_id))));
    }
    select
        .order_by_asc(at)
        .order_by_asc(id)
        .limit(limit)
        .all(conn)
        .await
}

/// How many messages have one of these statuses.
pub(super) async fn count(conn: &impl ConnectionTrait, statuses: &[Status]) -> Result<u64, DbErr> {
    of_status(statuses).count(conn).await
}

/// The ids of what is parked, oldest first.
pub(super) async fn parked_ids(conn: &impl ConnectionTrait) -> Result<Vec<MessageId>, DbErr> {
    of_status(&[Status::Parked])
        .select_only()
        .column(Column::Id)
        .order_by_asc(Column::ReceivedAt)
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(conn)
        .await
}

/// Each status by itself, so that the partial indexes, which name one each, can be used.
fn of_status(statuses: &[Status]) -> sea_orm::Select<Entity> {
    let any = statuses.iter().fold(Condition::any(), |any, status| {
        any.add(Column::Status.eq(*status))
    });
    Entity::find().filter(any)
}

/// Those of the messages that have come, whatever became of them.
pub(super) async fn known(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
) -> Result<HashSet<MessageId>, DbErr> {
    let mut known = HashSet::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let found: Vec<MessageId> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .into_tuple()
            .all(conn)
            .await?;
        known.extend(found);
    }
    Ok(known)
}

/// One message.
pub(super) async fn find(conn: &impl ConnectionTrait, id: MessageId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// Those of the messages that are known, locked for this transaction in sorted order.
pub(super) async fn lock(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, Model>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Messages that are locked are to be tried again now, and their failures counted anew.
pub(super) async fn make_due(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
    now: Instant,
) -> Result<(), DbErr> {
    let change = ActiveModel {
        status: Set(Status::Retry),
        attempts: Set(0),
        next_attempt_at: Set(Some(now)),
        ..Default::default()
    };
    update(conn, ids, change).await
}

/// Messages that are locked are given up, and what came is erased. From now on a repeat must be
/// recognised, however long they were parked.
pub(super) async fn mark_dropped(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
    now: Instant,
) -> Result<(), DbErr> {
    let change = ActiveModel {
        status: Set(Status::Dropped),
        received_at: Set(now),
        next_attempt_at: Set(None),
        body: Set(None),
        ..Default::default()
    };
    update(conn, ids, change).await
}

async fn update(conn: &impl ConnectionTrait, ids: &[MessageId], change: ActiveModel) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let updated = Entity::update_many()
        .set(change)
        .filter(Column::Id.is_in(ids.iter().copied()))
        .exec(conn)
        .await?;
    if updated.rows_affected == ids.len() as u64 {
        return Ok(());
    }
    Err(db::race("a message of the inbox is no longer there"))
}

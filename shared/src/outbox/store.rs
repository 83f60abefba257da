//! The outbox table.

use std::collections::BTreeMap;

use chrono::Duration;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, LockBehavior, LockType},
};

use crate::{
    clock::Instant,
    contracts::{Envelope, ServiceName},
    ids::MessageId,
};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;

    use crate::{clock::Instant, ids::MessageId};

    /// A message that is not yet published, or not yet acknowledged by every subscriber.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        /// The envelope's id.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: MessageId,
        /// The envelope, as JSON.
        pub body: String,
        /// When it was said.
        pub created_at: Instant,
        /// Until when some process has it in hand: to publish it, or to ask whether it has arrived.
        pub leased_until: Instant,
        /// Of a message that is published: the set of services (`ServiceName::bit`) that have not
        /// acknowledged it.
        pub awaiting: Option<i32>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// Rows in one statement, well under both databases' limits of parameters.
const CHUNK: usize = 1_000;

/// For how long a row belongs to the process that wrote it, then to the poller that took it.
pub(super) const OWN: Duration = Duration::seconds(1);
const LEASE: Duration = Duration::seconds(6);

/// When the subscribers of a published message are first asked again.
const ASK_AGAIN: Duration = Duration::seconds(10);

/// When the subscribers of a message of this age are asked the next time. The older it is, the more likely
/// it waits for a subscriber that is away.
fn ask_again_in(age: Duration) -> Duration {
    if age < Duration::minutes(1) {
        ASK_AGAIN
    } else if age < Duration::minutes(10) {
        Duration::seconds(30)
    } else {
        Duration::minutes(2)
    }
}

pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    envelopes: &[Envelope],
    now: Instant,
) -> Result<(), DbErr> {
    for chunk in envelopes.chunks(CHUNK) {
        let rows = chunk
            .iter()
            .map(|envelope| {
                Ok(ActiveModel {
                    id: Set(envelope.id),
                    body: Set(
                        serde_json::to_string(envelope).map_err(|error| DbErr::Json(error.to_string()))?
                    ),
                    created_at: Set(now),
                    leased_until: Set(now + OWN),
                    ..Default::default()
                })
            })
            .collect::<Result<Vec<_>, DbErr>>()?;
        Entity::insert_many(rows).exec_without_returning(conn).await?;
    }
    Ok(())
}

/// Which rows are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// All that are there.
    All,
    /// Those that are not published.
    Unpublished,
    /// Those that are published and await an acknowledgement.
    Awaiting,
}

impl Rows {
    /// Those of them that nobody holds.
    fn left(self, now: Instant) -> Condition {
        let left = Condition::all().add(Column::LeasedUntil.lt(now));
        match self {
            Self::All => left,
            Self::Unpublished => left.add(Column::Awaiting.is_null()),
            Self::Awaiting => left.add(Column::Awaiting.is_not_null()),
        }
    }
}

/// Whether there is one of `rows` that nobody holds.
pub(super) async fn any_left(conn: &impl ConnectionTrait, rows: Rows, now: Instant) -> Result<bool, DbErr> {
    let row = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(rows.left(now))
        .limit(1)
        .into_tuple::<MessageId>()
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// Takes at most `limit` of `rows` that nobody holds, and holds them for a while.
pub(super) async fn lease(
    conn: &impl ConnectionTrait,
    rows: Rows,
    now: Instant,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let rows = Entity::find()
        .filter(rows.left(now))
        .order_by_asc(Column::CreatedAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(conn)
        .await?;
    hold(conn, rows.iter().map(|row| row.id), now + LEASE).await?;
    Ok(rows)
}

async fn hold(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = MessageId>,
    until: Instant,
) -> Result<(), DbErr> {
    let ids: Vec<_> = ids.into_iter().collect();
    for chunk in ids.chunks(CHUNK) {
        Entity::update_many()
            .set(ActiveModel {
                leased_until: Set(until),
                ..Default::default()
            })
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(conn)
            .await?;
    }
    Ok(())
}

/// A message whose subscribers are to be asked for it, without its content.
#[derive(Debug, FromQueryResult)]
pub(super) struct Due {
    pub id: MessageId,
    pub awaiting: i32,
    created_at: Instant,
}

/// Takes at most `limit` messages whose subscribers are to be asked again, and holds each until the next
/// time.
pub(super) async fn lease_awaiting(
    conn: &impl ConnectionTrait,
    now: Instant,
    limit: u64,
) -> Result<Vec<Due>, DbErr> {
    let rows = Entity::find()
        .select_only()
        .columns([Column::Id, Column::Awaiting, Column::CreatedAt])
        .filter(Rows::Awaiting.left(now))
        .order_by_asc(Column::LeasedUntil)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_model::<Due>()
        .all(conn)
        .await?;
    let mut pauses: BTreeMap<Duration, Vec<MessageId>> = BTreeMap::new();
    for row in &rows {
        let pause = ask_again_in(now - row.created_at);
        pauses.entry(pause).or_default().push(row.id);
    }
    for (pause, ids) in pauses {
        hold(conn, ids, now + pause).await?;
    }
    Ok(rows)
}

/// Forgets messages that have arrived everywhere.
pub(super) async fn delete(conn: &impl ConnectionTrait, ids: &[MessageId]) -> Result<(), DbErr> {
    for chunk in ids.chunks(CHUNK) {
        Entity::delete_many()
            .filter(unflushed(conn, chunk))
            .exec(conn)
            .await?;
    }
    Ok(())
}

/// Messages are published, and these services are to acknowledge them.
pub(super) async fn mark_published(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
    awaiting: i32,
    now: Instant,
) -> Result<(), DbErr> {
    for chunk in ids.chunks(CHUNK) {
        Entity::update_many()
            .set(ActiveModel {
                awaiting: Set(Some(awaiting)),
                leased_until: Set(now + ASK_AGAIN),
                ..Default::default()
            })
            .filter(unflushed(conn, chunk))
            .exec(conn)
            .await?;
    }
    Ok(())
}

/// The service has these messages. Those that no other one is to acknowledge are forgotten.
pub(super) async fn acknowledge(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
    by: ServiceName,
) -> Result<(), DbErr> {
    let bit = by.bit();
    for chunk in ids.chunks(CHUNK) {
        let deleted = Entity::delete_many()
            .filter(Column::Awaiting.eq(bit))
            .filter(unflushed(conn, chunk))
            .exec(conn)
            .await?;
        if deleted.rows_affected < chunk.len() as u64 {
            Entity::update_many()
                .col_expr(Column::Awaiting, Expr::col(Column::Awaiting).bit_and(!bit))
                // Of one that was acknowledged by the others at this moment the last bit stays: its
                // service is asked once more.
                .filter(Column::Awaiting.ne(bit))
                .filter(unflushed(conn, chunk))
                .exec(conn)
                .await?;
        }
    }
    Ok(())
}

/// Those of the messages that the service has not acknowledged.
pub(super) async fn unacknowledged(
    conn: &impl ConnectionTrait,
    ids: &[MessageId],
    by: ServiceName,
) -> Result<Vec<Model>, DbErr> {
    let mut rows = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let found = Entity::find()
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .filter(Column::Awaiting.is_not_null())
            .filter(Expr::col(Column::Awaiting).bit_and(by.bit()).ne(0))
            .order_by_asc(Column::Id)
            .all(conn)
            .await?;
        rows.extend(found);
    }
    Ok(rows)
}

/// The content of one message.
pub(super) async fn body(conn: &impl ConnectionTrait, id: MessageId) -> Result<Option<String>, DbErr> {
    let row = Entity::find_by_id(id).one(conn).await?;
    Ok(row.map(|row| row.body))
}

/// These rows. PostgreSQL need not flush what is done to them to its disk: should it be lost in a crash,
/// these messages travel again, or are asked for again, and are known where they arrive.
fn unflushed(conn: &impl ConnectionTrait, ids: &[MessageId]) -> Condition {
    let these = Condition::all().add(Column::Id.is_in(ids.iter().copied()));
    match conn.get_database_backend() {
        DbBackend::Postgres => these.add(Expr::cust(
            "set_config('synchronous_commit', 'off', true) = 'off'",
        )),
        _ => these,
    }
}

/// How many messages wait to be published and confirmed.
///
/// # Errors
/// When the database does not answer.
pub async fn count(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::Awaiting.is_null())
        .count(conn)
        .await
}

/// How many messages are published and wait for a subscriber to acknowledge them.
///
/// # Errors
/// When the database does not answer.
pub async fn count_unacknowledged(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::Awaiting.is_not_null())
        .count(conn)
        .await
}

//! The outbox table.

use chrono::Duration;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, LockBehavior, LockType},
};

use crate::{clock::Instant, contracts::Envelope, ids::MessageId};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;

    use crate::{clock::Instant, ids::MessageId};

    /// A message that is not yet confirmed.
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
        /// Until when some poller has it in hand.
        pub leased_until: Instant,
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
                })
            })
            .collect::<Result<Vec<_>, DbErr>>()?;
        Entity::insert_many(rows).exec_without_returning(conn).await?;
    }
    Ok(())
}

/// Whether there is a row that nobody holds.
pub(super) async fn any_left(conn: &impl ConnectionTrait, now: Instant) -> Result<bool, DbErr> {
    let row = Entity::find()
        .filter(Column::LeasedUntil.lt(now))
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// Takes at most `limit` rows that nobody holds, and holds them for a while.
pub(super) async fn lease(
    conn: &impl ConnectionTrait,
    now: Instant,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let rows = Entity::find()
        .filter(Column::LeasedUntil.lt(now))
        .order_by_asc(Column::CreatedAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(conn)
        .await?;
    if !rows.is_empty() {
        Entity::update_many()
            .set(ActiveModel {
                leased_until: Set(now + LEASE),
                ..Default::default()
            })
            .filter(Column::Id.is_in(rows.iter().map(|row| row.id)))
            .exec(conn)
            .await?;
    }
    Ok(rows)
}

/// Forgets what the bus has confirmed. PostgreSQL need not flush that to its disk: should it be
/// lost in a crash, these messages travel again and are known where they arrive.
pub(super) async fn delete(conn: &impl ConnectionTrait, ids: &[MessageId]) -> Result<(), DbErr> {
    for chunk in ids.chunks(CHUNK) {
        let mut confirmed = Entity::delete_many().filter(Column::Id.is_in(chunk.iter().copied()));
        if conn.get_database_backend() == DbBackend::Postgres {
            confirmed = confirmed.filter(Expr::cust(
                "set_config('synchronous_commit', 'off', true) = 'off'",
            ));
        }
        confirmed.exec(conn).await?;
    }
    Ok(())
}

/// How many messages wait to be confirmed.
///
/// # Errors
/// When the database does not answer.
pub async fn count(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().count(conn).await
}

//! The table of logins.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait as _, Select,
    sea_query::{Expr, Func},
};
use shared::{
    clock::Instant,
    ids::{SessionId, UserId},
};
use uuid::Uuid;

use super::secret::SecretText;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{SessionId, UserId},
    };

    use super::SecretText;

    /// One login of one client.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        /// The `sid` of its tokens.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SessionId,
        /// Whose.
        pub user_id: UserId,
        /// When they logged in.
        pub created_at: Instant,
        /// What the client calls itself.
        pub user_agent: Option<SecretText>,
        /// From where it came last.
        pub address: Option<SecretText>,
        /// When its token was refreshed last, or given out; absent in rows of an older version.
        pub last_used_at: Option<Instant>,
        /// When its refresh token expires; absent in rows of an older version, which have none.
        pub expires_at: Option<Instant>,
        /// When it was ended, if it was.
        pub ended_at: Option<Instant>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// No configuration lets an access token live longer: so long after its refresh token has expired a
/// session may still have one that is good.
const LONGEST_ACCESS_TOKEN: chrono::Duration = chrono::Duration::days(1);

/// A login.
#[derive(Clone)]
pub struct Session {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When they logged in.
    pub created_at: Instant,
    /// When its token was refreshed last, or given out.
    pub last_used_at: Instant,
    /// When its refresh token expires.
    pub expires_at: Option<Instant>,
    /// When it was ended, if it was.
    pub ended_at: Option<Instant>,
    /// What the client calls itself, if it does.
    pub user_agent: Option<String>,
    /// From where it came last, if that is known.
    pub address: Option<String>,
}

impl From<Model> for Session {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            created_at: row.created_at,
            last_used_at: row.last_used_at.unwrap_or(row.created_at),
            expires_at: row.expires_at,
            ended_at: row.ended_at,
            user_agent: row.user_agent.map(|text| text.0),
            address: row.address.map(|text| text.0),
        }
    }
}

/// Which sessions of a user.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// This one.
    One(SessionId),
    /// All but this one.
    Others(SessionId),
    /// Every one.
    All,
    /// All but so many that were used last.
    Surplus(u64),
}

/// Adds a login.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, session: Session) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(session.id),
        user_id: Set(session.user_id),
        created_at: Set(session.created_at),
        user_agent: Set(session.user_agent.map(SecretText)),
        address: Set(session.address.map(SecretText)),
        last_used_at: Set(Some(session.last_used_at)),
        expires_at: Set(session.expires_at),
        ended_at: Set(session.ended_at),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// The login, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, id: SessionId) -> Result<Option<Session>, DbErr> {
    Ok(Entity::find_by_id(id).one(conn).await?.map(Into::into))
}

/// Writes down that a login goes on: when, until when, with what and from where.
///
/// # Errors
/// When the database refuses.
pub async fn touch(conn: &impl ConnectionTrait, session: Session) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            last_used_at: Set(Some(session.last_used_at)),
            expires_at: Set(session.expires_at),
            user_agent: Set(session.user_agent.map(SecretText)),
            address: Set(session.address.map(SecretText)),
            ..Default::default()
        })
        .filter(Column::Id.eq(session.id))
        .exec(conn)
        .await?;
    Ok(())
}

/// At most `limit` of a user's logins that can go on, newest first, from behind `after` on.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    conn: &impl ConnectionTrait,
    user: UserId,
    now: Instant,
    after: Option<(Instant, Uuid)>,
    limit: u64,
) -> Result<Vec<Session>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(now));
    if let Some((at, id)) = after {
        let same_instant = Condition::all()
            .add(Column::CreatedAt.eq(at))
            .add(Column::Id.lt(id));
        query = query.filter(Condition::any().add(Column::CreatedAt.lt(at)).add(same_instant));
    }
    let rows = query
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Marks logins of a user that may have a good token as ended; returns which. The user must be
/// locked.
///
/// # Errors
/// When the database refuses.
pub async fn end(
    conn: &impl ConnectionTrait,
    user: UserId,
    which: Which,
    now: Instant,
) -> Result<Vec<SessionId>, DbErr> {
    let mut query = may_go_on(now).filter(Column::UserId.eq(user));
    match which {
        Which::One(id) => query = query.filter(Column::Id.eq(id)),
        Which::Others(id) => query = query.filter(Column::Id.ne(id)),
        Which::All => {}
        Which::Surplus(kept) => {
            let last_used = Func::coalesce([Expr::col(Column::LastUsedAt), Expr::col(Column::CreatedAt)]);
            let kept = query
                .clone()
                .select_only()
                .column(Column::Id)
                .order_by_desc(last_used)
                .order_by_desc(Column::Id)
                .limit(kept)
                .into_query();
            query = query.filter(Column::Id.not_in_subquery(kept));
        }
    }
    let ids: Vec<SessionId> = query
        .select_only()
        .column(Column::Id)
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(conn)
        .await?;
    mark_ended(conn, &ids, now).await?;
    Ok(ids)
}

/// Marks logins of `users` that began by `began_by` and may have a good token as ended; returns which,
/// and whose. The users need not be locked: a concurrent refresh of one of these hands out tokens that no
/// service takes.
///
/// # Errors
/// When the database refuses.
pub async fn end_of_users(
    conn: &impl ConnectionTrait,
    users: &[UserId],
    began_by: Instant,
    now: Instant,
) -> Result<Vec<(SessionId, UserId)>, DbErr> {
    let found: Vec<(SessionId, UserId)> = may_go_on(now)
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(Column::CreatedAt.lte(began_by))
        .select_only()
        .columns([Column::Id, Column::UserId])
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(conn)
        .await?;
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    mark_ended(conn, &ids, now).await?;
    Ok(found)
}

/// Logins that have not ended and may have a good token.
fn may_go_on(now: Instant) -> Select<Entity> {
    let unexpired = Condition::any()
        .add(Column::ExpiresAt.is_null())
        .add(Column::ExpiresAt.gt(now - LONGEST_ACCESS_TOKEN));
    Entity::find().filter(Column::EndedAt.is_null()).filter(unexpired)
}

async fn mark_ended(conn: &impl ConnectionTrait, ids: &[SessionId], now: Instant) -> Result<(), DbErr> {
    // Well under both databases' limits of parameters.
    for chunk in ids.chunks(1_000) {
        Entity::update_many()
            .col_expr(Column::EndedAt, Expr::value(now))
            .filter(Column::Id.is_in(chunk.iter().copied()))
            .exec(conn)
            .await?;
    }
    Ok(())
}

/// Removes all of a user's logins, and their refresh tokens with them.
///
/// # Errors
/// When the database refuses.
pub async fn erase(conn: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user))
        .exec(conn)
        .await?;
    Ok(())
}

/// Removes logins that ended or expired before `instant`.
///
/// # Errors
/// When the database refuses.
pub async fn forget_before(conn: &impl ConnectionTrait, instant: Instant) -> Result<(), DbErr> {
    let over = Condition::any()
        .add(Column::EndedAt.lt(instant))
        .add(Column::ExpiresAt.lt(instant))
        .add(
            Condition::all()
                .add(Column::ExpiresAt.is_null())
                .add(Column::CreatedAt.lt(instant)),
        );
    Entity::delete_many().filter(over).exec(conn).await?;
    Ok(())
}

//! The table of refresh tokens: their hashes, never themselves.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    sea_query::Expr,
};
use shared::{clock::Instant, ids::SessionId};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::SessionId};

    /// A refresh token.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "refresh_tokens")]
    pub struct Model {
        /// SHA-256 of the token, base64url.
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: String,
        /// Which login goes on with it.
        pub session_id: SessionId,
        /// When it was given out.
        pub created_at: Instant,
        /// From when on it is good for nothing.
        pub expires_at: Instant,
        /// When it was replaced by another.
        pub used_at: Option<Instant>,
        /// It was replaced unused, since its client said that it had not got it.
        pub superseded: bool,
        /// Its client has said so of what this one was replaced by.
        pub retried: bool,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A refresh token, as far as it is kept.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// SHA-256 of the token, base64url.
    pub hash: String,
    /// Which login goes on with it.
    pub session_id: SessionId,
    /// From when on it is good for nothing.
    pub expires_at: Instant,
    /// When it was replaced by another.
    pub used_at: Option<Instant>,
    /// It was replaced unused, since its client said that it had not got it.
    pub superseded: bool,
    /// Its client has said so of what this one was replaced by.
    pub retried: bool,
}

impl From<Model> for RefreshToken {
    fn from(row: Model) -> Self {
        Self {
            hash: row.hash,
            session_id: row.session_id,
            expires_at: row.expires_at,
            used_at: row.used_at,
            superseded: row.superseded,
            retried: row.retried,
        }
    }
}

/// Adds one.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &impl ConnectionTrait,
    hash: &str,
    session: SessionId,
    now: Instant,
    expires_at: Instant,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        hash: Set(hash.to_owned()),
        session_id: Set(session),
        created_at: Set(now),
        expires_at: Set(expires_at),
        used_at: Set(None),
        superseded: Set(false),
        retried: Set(false),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// The one with this hash, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, hash: &str) -> Result<Option<RefreshToken>, DbErr> {
    let row = Entity::find().filter(Column::Hash.eq(hash)).one(conn).await?;
    Ok(row.map(Into::into))
}

/// What this one was replaced by, if it was: the one of its session that was given out in the
/// transaction in which it was used, and so at the same instant.
///
/// # Errors
/// When the database refuses.
pub async fn find_successor(
    conn: &impl ConnectionTrait,
    token: &RefreshToken,
) -> Result<Option<RefreshToken>, DbErr> {
    let Some(used_at) = token.used_at else {
        return Ok(None);
    };
    let row = Entity::find()
        .filter(Column::SessionId.eq(token.session_id))
        .filter(Column::CreatedAt.eq(used_at))
        .filter(Column::Hash.ne(&token.hash))
        // Where the clock stood still there may be several: one that was used is not to be missed.
        .order_by_desc(Column::UsedAt.is_not_null())
        .one(conn)
        .await?;
    Ok(row.map(Into::into))
}

/// Uses it up; false if somebody else has, or it has expired.
///
/// # Errors
/// When the database refuses.
pub async fn consume(conn: &impl ConnectionTrait, hash: &str, now: Instant) -> Result<bool, DbErr> {
    let used = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::Hash.eq(hash))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec(conn)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Uses up what a token was replaced by, in the place of a client that has not got it; false if
/// somebody has, since it was used, or if it has expired.
///
/// # Errors
/// When the database refuses.
pub async fn supersede(
    conn: &impl ConnectionTrait,
    token: &RefreshToken,
    successor: &RefreshToken,
    now: Instant,
) -> Result<bool, DbErr> {
    let superseded = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .col_expr(Column::Superseded, Expr::value(true))
        .filter(Column::Hash.eq(&successor.hash))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec(conn)
        .await?;
    if superseded.rows_affected == 0 {
        return Ok(false);
    }
    Entity::update_many()
        .col_expr(Column::Retried, Expr::value(true))
        .filter(Column::Hash.eq(&token.hash))
        .exec(conn)
        .await?;
    Ok(true)
}

/// Removes those that have expired.
///
/// # Errors
/// When the database refuses.
pub async fn forget_before(conn: &impl ConnectionTrait, instant: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::ExpiresAt.lt(instant))
        .exec(conn)
        .await?;
    Ok(())
}

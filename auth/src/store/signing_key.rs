//! The table of keys that tokens are signed with.

use std::fmt;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
    sea_query::{Expr, OnConflict},
};
use shared::clock::Instant;

use super::secret::SecretBytes;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::clock::Instant;

    use super::SecretBytes;

    /// An Ed25519 key.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_keys")]
    pub struct Model {
        /// Names it in tokens.
        #[sea_orm(primary_key, auto_increment = false)]
        pub kid: String,
        /// Both halves.
        pub pkcs8: SecretBytes,
        /// The public half, base64url.
        pub public_x: String,
        /// Since when there is one.
        pub created_at: Instant,
        /// Whether it was made at the first start; true of one at most.
        pub is_first: bool,
        /// When it was withdrawn; tokens that it signed are no longer accepted.
        pub retired_at: Option<Instant>,
        /// From when on new tokens are signed with it, until the next one follows.
        pub signs_from: Option<Instant>,
        /// When the last token that it signed has expired for sure, once another one follows.
        pub published_until: Option<Instant>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// An Ed25519 key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Names it in tokens.
    pub kid: String,
    /// Both halves.
    pub pkcs8: Vec<u8>,
    /// The public half, base64url.
    pub public_x: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl From<Model> for SigningKey {
    fn from(row: Model) -> Self {
        Self {
            kid: row.kid,
            pkcs8: row.pkcs8.0,
            public_x: row.public_x,
        }
    }
}

/// What is known of a key, beside the key.
#[derive(Clone, Debug)]
pub struct KeyTimes {
    /// Names it in tokens.
    pub kid: String,
    /// Since when there is one.
    pub created_at: Instant,
    /// From when on new tokens are signed with it, until the next one follows.
    pub signs_from: Instant,
    /// Until when its tokens are accepted, once another one follows.
    pub published_until: Option<Instant>,
}

fn row_of(key: SigningKey, is_first: bool, now: Instant, signs_from: Instant) -> ActiveModel {
    ActiveModel {
        kid: Set(key.kid),
        pkcs8: Set(SecretBytes(key.pkcs8)),
        public_x: Set(key.public_x),
        created_at: Set(now),
        is_first: Set(is_first),
        retired_at: Set(None),
        signs_from: Set(Some(signs_from)),
        published_until: Set(None),
    }
}

/// Adds the first key, which signs from now on, unless there is one; waits for a transaction that
/// is adding one.
///
/// # Errors
/// When the database refuses.
pub async fn insert_first(conn: &impl ConnectionTrait, key: SigningKey, now: Instant) -> Result<(), DbErr> {
    Entity::insert(row_of(key, true, now, now))
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// Adds a key that signs from `signs_from` on. The tokens of all others are
/// accepted until `published_until`.
///
/// # Errors
/// When the database refuses.
pub async fn insert_next(
    conn: &impl ConnectionTrait,
    key: SigningKey,
    now: Instant,
    signs_from: Instant,
    published_until: Instant,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::PublishedUntil, Expr::value(published_until))
        .filter(Column::PublishedUntil.is_null())
        .exec(conn)
        .await?;
    Entity::insert(row_of(key, false, now, signs_from))
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// The key that signs at this moment, if there is one yet: of those that may, the one that was made
/// last. An older one that was to sign later never does: it ceases to be published so long after the
/// newer one began.
///
/// # Errors
/// When the database refuses.
pub async fn find_signing(conn: &impl ConnectionTrait, now: Instant) -> Result<Option<SigningKey>, DbErr> {
    // The first signs even for a replica whose clock is behind that of the one which made it.
    let signs = Condition::any()
        .add(Column::SignsFrom.lte(now))
        .add(Column::IsFirst.eq(true));
    let row = published(now)
        .filter(signs)
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Kid)
        .limit(1)
        .one(conn)
        .await?;
    Ok(row.map(Into::into))
}

/// Every key whose tokens are accepted, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn list_published(conn: &impl ConnectionTrait, now: Instant) -> Result<Vec<SigningKey>, DbErr> {
    let rows = published(now).order_by_asc(Column::CreatedAt).all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// What is known of them.
///
/// # Errors
/// When the database refuses.
pub async fn list_times(conn: &impl ConnectionTrait, now: Instant) -> Result<Vec<KeyTimes>, DbErr> {
    let rows = published(now).order_by_asc(Column::CreatedAt).all(conn).await?;
    let times = |row: Model| KeyTimes {
        kid: row.kid,
        created_at: row.created_at,
        signs_from: row.signs_from.unwrap_or(row.created_at),
        published_until: row.published_until,
    };
    Ok(rows.into_iter().map(times).collect())
}

fn published(now: Instant) -> Select<Entity> {
    let still = Condition::any()
        .add(Column::PublishedUntil.is_null())
        .add(Column::PublishedUntil.gt(now));
    Entity::find().filter(Column::RetiredAt.is_null()).filter(still)
}

/// Removes keys that are no longer published: nobody is to find their private halves.
///
/// # Errors
/// When the database refuses.
pub async fn forget_before(conn: &impl ConnectionTrait, instant: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::PublishedUntil.lt(instant))
        .exec(conn)
        .await?;
    Ok(())
}

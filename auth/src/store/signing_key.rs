//! The table of keys that tokens are signed with.

use std::fmt;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    sea_query::OnConflict,
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
        /// Whether new tokens are signed with it; true of one at most.
        pub signs: bool,
        /// When it was withdrawn; tokens that it signed are no longer accepted.
        pub retired_at: Option<Instant>,
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

/// Adds a key that signs from now on, unless there is one; waits for a transaction that is
/// adding one.
///
/// # Errors
/// When the database refuses.
pub async fn insert_if_none_signs(
    conn: &impl ConnectionTrait,
    key: SigningKey,
    now: Instant,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        kid: Set(key.kid),
        pkcs8: Set(SecretBytes(key.pkcs8)),
        public_x: Set(key.public_x),
        created_at: Set(now),
        signs: Set(true),
        retired_at: Set(None),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// The key that signs, if there is one yet.
///
/// # Errors
/// When the database refuses.
pub async fn find_signing(conn: &impl ConnectionTrait) -> Result<Option<SigningKey>, DbErr> {
    let row = Entity::find().filter(Column::Signs.eq(true)).one(conn).await?;
    Ok(row.map(Into::into))
}

/// Every key whose tokens are accepted, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn list_published(conn: &impl ConnectionTrait) -> Result<Vec<SigningKey>, DbErr> {
    let rows = Entity::find()
        .filter(Column::RetiredAt.is_null())
        .order_by_asc(Column::CreatedAt)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

//! The table of keys for secrets that only auth makes and checks.

use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, sea_query::OnConflict};
use shared::clock::Instant;

use super::secret::SecretBytes;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::clock::Instant;

    use super::SecretBytes;

    /// A key.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret_keys")]
    pub struct Model {
        /// What it is for.
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// The key.
        pub key: SecretBytes,
        /// Since when there is one.
        pub created_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// The key of this name, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, name: &str) -> Result<Option<Vec<u8>>, DbErr> {
    let row = Entity::find_by_id(name).one(conn).await?;
    Ok(row.map(|row| row.key.0))
}

/// Adds a key, unless there is one of that name.
///
/// # Errors
/// When the database refuses.
pub async fn insert_if_none(
    conn: &impl ConnectionTrait,
    name: &str,
    key: Vec<u8>,
    now: Instant,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        name: Set(name.to_owned()),
        key: Set(SecretBytes(key)),
        created_at: Set(now),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Name).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

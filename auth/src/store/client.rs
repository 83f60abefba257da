//! The table of programs that call by themselves.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect as _,
    sea_query::{Expr, OnConflict},
};
use shared::{clock::Instant, contracts::Permission, ids::UserId};

use super::secret::SecretText;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::UserId};

    use super::SecretText;

    /// A program that calls by itself.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "clients")]
    pub struct Model {
        /// The `sub` of its tokens.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: UserId,
        /// What it is called; unique.
        pub name: String,
        /// A hash of its secret.
        pub secret_hash: SecretText,
        /// What it may do, as a JSON array.
        pub permissions: String,
        /// Since when there is one.
        pub created_at: Instant,
        /// Since when it gets no tokens any more.
        pub disabled_at: Option<Instant>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A program that calls by itself.
#[derive(Clone, Debug)]
pub struct Client {
    /// The `sub` of its tokens.
    pub id: UserId,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// Since when there is one.
    pub created_at: Instant,
    /// Since when it gets no tokens any more.
    pub disabled_at: Option<Instant>,
}

impl From<Model> for Client {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            permissions: super::permissions::read(&row.permissions),
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        }
    }
}

/// Adds one; false if there is one of that name.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, client: &Client, secret_hash: &str) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(client.id),
        name: Set(client.name.clone()),
        secret_hash: Set(SecretText(secret_hash.to_owned())),
        permissions: Set(super::permissions::write(&client.permissions)),
        created_at: Set(client.created_at),
        disabled_at: Set(client.disabled_at),
    };
    let inserted = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Name).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted == 1)
}

/// The one of this id, and the hash of its secret.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<(Client, String)>, DbErr> {
    let row = Entity::find_by_id(id).one(conn).await?;
    Ok(row.map(|row| {
        let hash = row.secret_hash.0.clone();
        (row.into(), hash)
    }))
}

/// The one of this id, which nobody can disable until the transaction ends.
///
/// # Errors
/// When the database refuses.
pub async fn lock(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<Client>, DbErr> {
    let row = Entity::find_by_id(id).lock_shared().one(conn).await?;
    Ok(row.map(Into::into))
}

/// The one of this name.
///
/// # Errors
/// When the database refuses.
pub async fn find_by_name(conn: &impl ConnectionTrait, name: &str) -> Result<Option<Client>, DbErr> {
    let row = Entity::find().filter(Column::Name.eq(name)).one(conn).await?;
    Ok(row.map(Into::into))
}

/// Every one, by name.
///
/// # Errors
/// When the database refuses.
pub async fn list(conn: &impl ConnectionTrait) -> Result<Vec<Client>, DbErr> {
    let rows = Entity::find().order_by_asc(Column::Name).all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Gives it no tokens any more; false if it got none before.
///
/// # Errors
/// When the database refuses.
pub async fn disable(conn: &impl ConnectionTrait, id: UserId, now: Instant) -> Result<bool, DbErr> {
    let disabled = Entity::update_many()
        .col_expr(Column::DisabledAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::DisabledAt.is_null())
        .exec(conn)
        .await?;
    Ok(disabled.rows_affected == 1)
}

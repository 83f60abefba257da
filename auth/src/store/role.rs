//! The table of roles.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use shared::contracts::Permission;

use crate::domain::{self, Role};

mod entity {
    use sea_orm::entity::prelude::*;

    /// A set of permissions with a name.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "roles")]
    pub struct Model {
        /// Its name.
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// Its id, for the audit log.
        pub id: Uuid,
        /// What it is for.
        pub description: String,
        /// What it allows, as a JSON array.
        pub permissions: String,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

impl From<Model> for Role {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            description: row.description,
            permissions: super::permissions::read(&row.permissions),
        }
    }
}

/// Every role, by name.
///
/// # Errors
/// When the database refuses.
pub async fn list(conn: &impl ConnectionTrait) -> Result<Vec<Role>, DbErr> {
    let rows = Entity::find().order_by_asc(Column::Name).all(conn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The role of this name, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, name: &str) -> Result<Option<Role>, DbErr> {
    let row = Entity::find_by_id(name).one(conn).await?;
    Ok(row.map(Into::into))
}

/// Those of these names that there are, locked in sorted order until the transaction ends.
///
/// # Errors
/// When the database refuses.
pub async fn lock(
    conn: &impl ConnectionTrait,
    names: impl IntoIterator<Item = &String>,
) -> Result<Vec<Role>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Name.is_in(names))
        .order_by_asc(Column::Name)
        .lock_exclusive()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// What [`share_permissions`] and [`lock_permissions`] lock. No rows: every login shares it, and a row
/// that is locked so often would have to be written each time.
const PERMISSIONS: &str = "hashtextextended('permissions of roles', 0)";

/// Until the end of the transaction no role loses a permission: a transaction that issues a token takes this
/// shared lock first, and then reads what the token allows.
///
/// # Errors
/// When the database refuses.
pub async fn share_permissions(conn: &impl ConnectionTrait) -> Result<(), DbErr> {
    advise(conn, "pg_advisory_xact_lock_shared").await
}

/// Until the end of the transaction no token is issued to a user. Transactions that were issuing one have
/// ended, so that their sessions are found.
///
/// # Errors
/// When the database refuses.
pub async fn lock_permissions(conn: &impl ConnectionTrait) -> Result<(), DbErr> {
    advise(conn, "pg_advisory_xact_lock").await
}

async fn advise(conn: &impl ConnectionTrait, lock: &str) -> Result<(), DbErr> {
    // On SQLite one writes at a time.
    if conn.get_database_backend() == DbBackend::Postgres {
        conn.execute_unprepared(&format!("SELECT {lock}({PERMISSIONS})"))
            .await?;
    }
    Ok(())
}

/// What roles of these names allow together. One that there is no more allows nothing.
///
/// # Errors
/// When the database refuses.
pub async fn permissions_of(
    conn: &impl ConnectionTrait,
    names: &BTreeSet<String>,
) -> Result<BTreeSet<Permission>, DbErr> {
    let rows = Entity::find().filter(Column::Name.is_in(names)).all(conn).await?;
    let roles: Vec<Role> = rows.into_iter().map(Into::into).collect();
    Ok(domain::permissions_of(&roles))
}

/// Adds a role; false if there is one of that name.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, role: &Role) -> Result<bool, DbErr> {
    let inserted = Entity::insert(row_of(role))
        .on_conflict(OnConflict::column(Column::Name).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted == 1)
}

/// Writes a locked role.
///
/// # Errors
/// When the database refuses.
pub async fn update(conn: &impl ConnectionTrait, role: &Role) -> Result<(), DbErr> {
    Entity::update(row_of(role)).exec(conn).await?;
    Ok(())
}

/// Removes a role.
///
/// # Errors
/// When the database refuses.
pub async fn delete(conn: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    Entity::delete_by_id(name).exec(conn).await?;
    Ok(())
}

fn row_of(role: &Role) -> ActiveModel {
    ActiveModel {
        name: Set(role.name.clone()),
        id: Set(role.id),
        description: Set(role.description.clone()),
        permissions: Set(super::permissions::write(&role.permissions)),
    }
}

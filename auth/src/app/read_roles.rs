//! Looks roles up.

use sea_orm::{ConnectionTrait, DbErr};

use crate::{domain::Role, store::role};

/// Every role, by name.
///
/// # Errors
/// When the database refuses.
pub async fn list_roles(conn: &impl ConnectionTrait) -> Result<Vec<Role>, DbErr> {
    role::list(conn).await
}

/// The role of this name, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find_role(conn: &impl ConnectionTrait, name: &str) -> Result<Option<Role>, DbErr> {
    role::find(conn, name).await
}

//! Why roles stay as they are, and who may change them.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{contracts::Permission, db::Tx, ids::UserId};

use super::actor::{ActorError, held_by};
use crate::store;

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// There is no such role.
    #[error("there is no such role")]
    NotFound,
    /// There is no such user.
    #[error("there is no such user")]
    UserNotFound,
    /// The account is gone.
    #[error("the account is deleted")]
    UserDeleted,
    /// There is one of that name.
    #[error("there is a role of that name")]
    Exists,
    /// It belongs to the platform.
    #[error("the role is built in")]
    BuiltIn,
    /// Somebody has it.
    #[error("somebody has the role")]
    InUse,
    /// Some of the roles are none.
    #[error("there are no such roles")]
    Unknown(Vec<String>),
    /// Nobody could then administer the platform.
    #[error("they are the last administrator")]
    LastAdministrator,
    /// Who does it may not.
    #[error("who does it may not do it")]
    Actor(#[from] ActorError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What somebody who is to change roles may do at this moment; locks them.
pub(super) async fn lock_changer(tx: &Tx, by: UserId) -> Result<BTreeSet<Permission>, RoleError> {
    let accounts = store::user::lock(tx.conn(), &[by]).await?;
    Ok(held_by(tx, by, &accounts, Permission::RolesWrite).await?)
}

//! Why roles stay as they are, and who may change them.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{contracts::Permission, db::Tx, ids::UserId};

use crate::{domain::User, store};

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// There is no such role.
    #[error("there is no such role")]
    NotFound,
    /// There is no such user, or no longer.
    #[error("there is no such user")]
    UserNotFound,
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
    /// Who does it would give or take what they do not have.
    #[error("nobody can give or take what they do not have")]
    NotHeld(BTreeSet<Permission>),
    /// Nobody could then administer the platform.
    #[error("they are the last administrator")]
    LastAdministrator,
    /// Who does it may not act any more.
    #[error("the administrator is blocked")]
    NotActive,
    /// Who does it may not change roles any more.
    #[error("the administrator may not change roles any more")]
    NotAllowed,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What a locked user may do with roles at this moment, whatever their token says.
pub(super) async fn may_change_roles(tx: &Tx, by: Option<&User>) -> Result<BTreeSet<Permission>, RoleError> {
    let by = by.filter(|user| user.is_active()).ok_or(RoleError::NotActive)?;
    let held = store::role::permissions_of(tx.conn(), &by.roles).await?;
    if held.contains(&Permission::RolesWrite) {
        Ok(held)
    } else {
        Err(RoleError::NotAllowed)
    }
}

/// The same for somebody who is not locked yet.
pub(super) async fn lock_changer(tx: &Tx, by: UserId) -> Result<BTreeSet<Permission>, RoleError> {
    let accounts = store::user::lock(tx.conn(), &[by]).await?;
    may_change_roles(tx, accounts.get(&by).map(|account| &account.user)).await
}

/// Refuses `changed` permissions that are not `held`.
pub(super) fn all_held(
    held: &BTreeSet<Permission>,
    changed: impl IntoIterator<Item = Permission>,
) -> Result<(), RoleError> {
    let missing: BTreeSet<_> = changed
        .into_iter()
        .filter(|permission| !held.contains(permission))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(RoleError::NotHeld(missing))
    }
}

//! Gives and takes roles.

use std::collections::BTreeSet;

use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::{Permission, UserStatus},
    db::Tx,
    ids::UserId,
};

use super::{
    RoleError,
    actor::{all_held, held_by},
};
use crate::{
    domain::{ADMIN, Role, User, is_last_administrator, permissions_of},
    store::{self, role},
};

/// Who becomes what.
#[derive(Clone, Debug)]
pub struct AssignRoles {
    /// The administrator.
    pub by: UserId,
    /// Who.
    pub user: UserId,
    /// All that they are from now on.
    pub roles: BTreeSet<String>,
}

/// Gives a user these roles and takes all others; their next token says so. Whoever does it may do
/// all that they give or take, and an administrator always remains.
///
/// # Errors
/// See [`RoleError`].
pub async fn assign_roles(tx: &Tx, input: &AssignRoles) -> Result<User, RoleError> {
    let mut accounts = store::user::lock_with_administrators(tx.conn(), &[input.user, input.by]).await?;
    let held = held_by(tx, input.by, &accounts, Permission::RolesWrite).await?;
    let user = &accounts.get(&input.user).ok_or(RoleError::UserNotFound)?.user;
    if user.status == UserStatus::Deleted {
        return Err(RoleError::UserDeleted);
    }
    let before = user.roles.clone();
    let known = role::lock(tx.conn(), before.union(&input.roles)).await?;
    let missing: Vec<_> = input
        .roles
        .iter()
        .filter(|name| !known.iter().any(|role| role.name == **name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(RoleError::Unknown(missing));
    }
    let changed = |role: &&Role| before.contains(&role.name) != input.roles.contains(&role.name);
    all_held(&held, permissions_of(known.iter().filter(changed)))?;
    let loses_admin = before.contains(ADMIN) && !input.roles.contains(ADMIN);
    if loses_admin && is_last_administrator(input.user, accounts.values().map(|account| &account.user)) {
        return Err(RoleError::LastAdministrator);
    }
    let mut user = accounts.remove(&input.user).ok_or(RoleError::UserNotFound)?.user;
    if before == input.roles {
        return Ok(user);
    }
    store::user::replace_roles(tx.conn(), user.id, &input.roles).await?;
    user.roles.clone_from(&input.roles);
    let deed = Deed {
        actor: Some(input.by),
        action: "user.roles",
        subject: user.id.0,
        details: json!({"before": before, "after": input.roles}),
    };
    audit::record(tx, deed).await?;
    Ok(user)
}

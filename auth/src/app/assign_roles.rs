//! Gives and takes roles.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::{Permission, UserStatus},
    db::Tx,
    ids::UserId,
    sessions::EndedSessions,
};

use super::{
    RoleError,
    actor::{all_held, held_by},
    end_sessions::{Which, end_of_locked},
};
use crate::{
    domain::{ADMIN, Role, User, is_last_administrator, not_held, permissions_of},
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

/// Gives a user these roles and takes all others. What they may do from now on stands in their next token;
/// if it takes a permission, their sessions end. The caller may do all that they give or take, and an
/// administrator always remains.
///
/// # Errors
/// See [`RoleError`].
pub async fn assign_roles(tx: &Tx, ended: &EndedSessions, input: &AssignRoles) -> Result<User, RoleError> {
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
    if takes_permissions(tx, &known, &before, &input.roles).await? {
        end_of_locked(tx, ended, user.id, Which::All).await?;
    }
    let deed = Deed {
        actor: Some(input.by),
        action: "user.roles",
        subject: user.id.0,
        details: json!({"before": before, "after": input.roles}),
    };
    audit::record(tx, deed).await?;
    Ok(user)
}

/// Whether tokens of somebody who had the roles `before` may allow what they may not do any more.
async fn takes_permissions(
    tx: &Tx,
    known: &[Role],
    before: &BTreeSet<String>,
    after: &BTreeSet<String>,
) -> Result<bool, DbErr> {
    let allowed =
        |names: &BTreeSet<String>| permissions_of(known.iter().filter(|role| names.contains(&role.name)));
    if !not_held(&allowed(after), allowed(before)).is_empty() {
        return Ok(true);
    }
    // Of a role that has lost permissions, sessions may be left to end: they would not be found any more.
    let taken: BTreeSet<_> = before.difference(after).cloned().collect();
    if taken.is_empty() {
        return Ok(false);
    }
    store::withdrawal::any(tx.conn(), Some(&taken)).await
}

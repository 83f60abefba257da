//! Changes what a role is for and what it allows.

use std::collections::BTreeSet;

use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::Permission,
    db::Tx,
    ids::UserId,
    sessions::EndedSessions,
};

use super::{
    RoleError, actor::all_held, role_error::lock_changer, withdraw_permissions::withdraw_permissions,
};
use crate::{
    domain::{Role, not_held},
    store::role,
};

/// What becomes of a role; what is absent stays.
#[derive(Clone, Debug)]
pub struct UpdateRole {
    /// The administrator.
    pub by: UserId,
    /// Which.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it allows.
    pub permissions: Option<BTreeSet<Permission>>,
}

/// Changes a role. What it gives stands in the next token; what it takes ends the sessions of those who have
/// it no other way. The caller may do all that they give or take. What `admin` allows can't be changed:
/// it is everything.
///
/// # Errors
/// See [`RoleError`].
pub async fn update_role(tx: &Tx, ended: &EndedSessions, input: &UpdateRole) -> Result<Role, RoleError> {
    let held = lock_changer(tx, input.by).await?;
    if input.permissions.is_some() {
        // A token that is being issued with what the role allowed is issued before this, and ended by it.
        role::lock_permissions(tx.conn()).await?;
    }
    let mut role = role::lock(tx.conn(), [&input.name])
        .await?
        .pop()
        .ok_or(RoleError::NotFound)?;
    let before = role.clone();
    if let Some(permissions) = &input.permissions {
        if role.is_admin() {
            return Err(RoleError::BuiltIn);
        }
        all_held(&held, role.permissions.symmetric_difference(permissions).copied())?;
        role.permissions.clone_from(permissions);
    }
    if let Some(description) = &input.description {
        role.description.clone_from(description);
    }
    if role == before {
        return Ok(role);
    }
    role::update(tx.conn(), &role).await?;
    let lost = not_held(&role.allows(), before.allows());
    withdraw_permissions(tx, ended, &role, lost).await?;
    let deed = Deed {
        actor: Some(input.by),
        action: "role.update",
        subject: role.id,
        details: json!({"name": role.name, "before": before.permissions, "after": role.permissions}),
    };
    audit::record(tx, deed).await?;
    Ok(role)
}

//! Makes a role.

use std::collections::BTreeSet;

use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::Permission,
    db::Tx,
    ids::{UserId, new_uuid},
};

use super::{RoleError, actor::all_held, role_error::lock_changer};
use crate::{domain::Role, store::role};

/// A new role.
#[derive(Clone, Debug)]
pub struct CreateRole {
    /// The administrator.
    pub by: UserId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
}

/// Makes a role that allows no more than whoever makes it may do.
///
/// # Errors
/// See [`RoleError`].
pub async fn create_role(tx: &Tx, input: &CreateRole) -> Result<Role, RoleError> {
    let held = lock_changer(tx, input.by).await?;
    all_held(&held, input.permissions.iter().copied())?;
    let role = Role {
        id: new_uuid(tx.now()),
        name: input.name.clone(),
        description: input.description.clone(),
        permissions: input.permissions.clone(),
    };
    if !role::insert(tx.conn(), &role).await? {
        return Err(RoleError::Exists);
    }
    let deed = Deed {
        actor: Some(input.by),
        action: "role.create",
        subject: role.id,
        details: json!({"name": role.name, "permissions": role.permissions}),
    };
    audit::record(tx, deed).await?;
    Ok(role)
}

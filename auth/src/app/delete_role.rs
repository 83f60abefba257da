//! Removes a role that nobody has.

use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::UserId,
};

use super::{RoleError, actor::all_held, role_error::lock_changer};
use crate::store::{self, role};

/// Which, and who does it.
#[derive(Clone, Debug)]
pub struct DeleteRole {
    /// The administrator.
    pub by: UserId,
    /// Which.
    pub name: String,
}

/// Removes a role that nobody has and that is not built in.
///
/// # Errors
/// See [`RoleError`].
pub async fn delete_role(tx: &Tx, input: &DeleteRole) -> Result<(), RoleError> {
    let held = lock_changer(tx, input.by).await?;
    // Whoever gives a role has it locked too: nobody gets it from here on.
    let role = role::lock(tx.conn(), [&input.name])
        .await?
        .pop()
        .ok_or(RoleError::NotFound)?;
    if role.is_built_in() {
        return Err(RoleError::BuiltIn);
    }
    all_held(&held, role.allows())?;
    if store::user::has_anybody(tx.conn(), &role.name).await? {
        return Err(RoleError::InUse);
    }
    role::delete(tx.conn(), &role.name).await?;
    let deed = Deed {
        actor: Some(input.by),
        action: "role.delete",
        subject: role.id,
        details: json!({"name": role.name, "permissions": role.permissions}),
    };
    Ok(audit::record(tx, deed).await?)
}

//! Who acts on users and roles, and what they may do at this moment, whatever their token says.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::DbErr;
use shared::{contracts::Permission, db::Tx, ids::UserId};

use crate::{
    domain::{User, not_held},
    store::{self, user::Account},
};

/// Why they may not.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// They may do nothing any more: of two administrators who block each other, one wins.
    #[error("who does it is blocked or gone")]
    NotActive,
    /// They may not do this any more.
    #[error("who does it may not do it any more")]
    NotAllowed(Permission),
    /// They would give or take what they do not have.
    #[error("nobody can give or take what they do not have")]
    NotHeld(BTreeSet<Permission>),
    /// They would act on somebody who may do what they may not.
    #[error("nobody can act on who may do more")]
    Outranked(BTreeSet<Permission>),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What `by` may do, which must include `needed`: a user among `locked`, or else a program, which
/// is locked too.
pub(super) async fn held_by(
    tx: &Tx,
    by: UserId,
    locked: &BTreeMap<UserId, Account>,
    needed: Permission,
) -> Result<BTreeSet<Permission>, ActorError> {
    let held = match locked.get(&by) {
        Some(account) if account.user.is_active() => {
            store::role::permissions_of(tx.conn(), &account.user.roles).await?
        }
        Some(_) => return Err(ActorError::NotActive),
        None => {
            let client = store::client::lock(tx.conn(), by).await?;
            client
                .filter(|client| client.disabled_at.is_none())
                .ok_or(ActorError::NotActive)?
                .permissions
        }
    };
    if held.contains(&needed) {
        Ok(held)
    } else {
        Err(ActorError::NotAllowed(needed))
    }
}

/// Refuses permissions that are to be given or taken and are not `held`.
pub(super) fn all_held(
    held: &BTreeSet<Permission>,
    changed: impl IntoIterator<Item = Permission>,
) -> Result<(), ActorError> {
    let missing = not_held(held, changed);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ActorError::NotHeld(missing))
    }
}

/// Refuses a locked user who may do what is not `held`: whoever could block or delete them would
/// take more than they have.
pub(super) async fn outranks(tx: &Tx, held: &BTreeSet<Permission>, user: &User) -> Result<(), ActorError> {
    let theirs = store::role::permissions_of(tx.conn(), &user.roles).await?;
    let missing = not_held(held, theirs);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ActorError::Outranked(missing))
    }
}

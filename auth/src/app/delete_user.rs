//! Deletes somebody's account, as an administrator wants it.

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
    actor::{ActorError, held_by, outranks},
    erase_user::erase_user,
};
use crate::{domain::is_last_administrator, store};

/// Whom, and who does it.
#[derive(Clone, Copy, Debug)]
pub struct DeleteUser {
    /// Whom.
    pub user: UserId,
    /// The administrator, or a program.
    pub by: UserId,
    /// Whether they know that what is left in the wallet is lost.
    pub confirmed: bool,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum DeleteUserError {
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// The account is gone already.
    #[error("the account is deleted")]
    Deleted,
    /// They have not said that they know what is lost.
    #[error("the deletion is not confirmed")]
    Unconfirmed,
    /// They are who does it; their own account is deleted with their password.
    #[error("nobody can delete themselves so")]
    Oneself,
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

/// Deletes a user and everything that tells of them, and says so. Whoever does it may do all that
/// the user may.
///
/// # Errors
/// See [`DeleteUserError`].
pub async fn delete_user(tx: &Tx, ended: &EndedSessions, input: DeleteUser) -> Result<(), DeleteUserError> {
    let mut accounts = store::user::lock_with_administrators(tx.conn(), &[input.user, input.by]).await?;
    let held = held_by(tx, input.by, &accounts, Permission::UsersDelete).await?;
    if input.user == input.by {
        return Err(DeleteUserError::Oneself);
    }
    let user = accounts.get(&input.user).ok_or(DeleteUserError::NotFound)?;
    if user.user.status == UserStatus::Deleted {
        return Err(DeleteUserError::Deleted);
    }
    outranks(tx, &held, &user.user).await?;
    if !input.confirmed {
        return Err(DeleteUserError::Unconfirmed);
    }
    if is_last_administrator(input.user, accounts.values().map(|account| &account.user)) {
        return Err(DeleteUserError::LastAdministrator);
    }
    let user = accounts
        .remove(&input.user)
        .ok_or(DeleteUserError::NotFound)?
        .user;
    if !erase_user(tx, ended, user).await? {
        return Err(DeleteUserError::Deleted);
    }
    let deed = Deed {
        actor: Some(input.by),
        action: "user.delete",
        subject: input.user.0,
        details: json!({}),
    };
    Ok(audit::record(tx, deed).await?)
}

//! Gives an account another password.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    db::{Db, Tx},
    ids::{SessionId, UserId},
    sessions::EndedSessions,
};

use super::{
    CheckPasswordError, Client, HashError, Limits, PasswordHasher,
    check_password::{Checked, check_password},
    end_sessions::{Which, end_of_locked},
};
use crate::{domain::Password, store};

/// Whose password becomes what.
#[derive(Clone, Debug)]
pub struct ChangePassword {
    /// Whose.
    pub user: UserId,
    /// In which session they are; it goes on.
    pub session: SessionId,
    /// What it is.
    pub current: SecretString,
    /// What it becomes.
    pub new: Password,
    /// With what, from where.
    pub client: Client,
}

/// Why it stays.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// It is not them, as far as can be seen.
    #[error("the current password was not shown")]
    Check(#[from] CheckPasswordError),
    /// The new one can't be hashed.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Changes a user's password and ends their other sessions: one of them may be a thief's.
///
/// # Errors
/// See [`ChangePasswordError`].
pub async fn change_password(
    db: &Db,
    hasher: &PasswordHasher,
    ended: &EndedSessions,
    limits: Limits,
    input: &ChangePassword,
) -> Result<(), ChangePasswordError> {
    let checked = check_password(db, hasher, limits, input.user, &input.current, &input.client).await?;
    let new = hasher.hash(input.new.secret(), checked.turn()).await?;
    let (checked, new) = (&checked, new.as_str());
    db.write(|tx| async move { replace(&tx, ended, input, checked, new).await })
        .await
}

async fn replace(
    tx: &Tx,
    ended: &EndedSessions,
    input: &ChangePassword,
    checked: &Checked,
    new: &str,
) -> Result<(), ChangePasswordError> {
    // It may have been changed while it was checked.
    store::user::lock(tx.conn(), &[input.user])
        .await?
        .remove(&input.user)
        .filter(|account| checked.is_of(&account.password_hash))
        .ok_or(CheckPasswordError::Wrong)?;
    checked.may_be_told(tx).await?;
    store::user::update_password(tx.conn(), input.user, new).await?;
    end_of_locked(tx, ended, input.user, Which::Others(input.session)).await?;
    Ok(())
}

//! Deletes an account, as its owner wants it.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    db::{Db, Tx},
    ids::UserId,
    sessions::EndedSessions,
};

use super::{
    CheckPasswordError, Client, Limits, PasswordHasher, check_password::check_password,
    erase_user::erase_user,
};
use crate::{domain::is_last_administrator, store};

/// Whose account.
#[derive(Clone, Debug)]
pub struct DeleteAccount {
    /// Whose.
    pub user: UserId,
    /// Their password.
    pub password: SecretString,
    /// Whether they know that what is left in their wallet is lost.
    pub confirmed: bool,
    /// With what, from where.
    pub client: Client,
}

/// Why it stays.
#[derive(Debug, thiserror::Error)]
pub enum DeleteAccountError {
    /// They have not said that they know what is lost.
    #[error("the deletion is not confirmed")]
    Unconfirmed,
    /// It is not them, as far as can be seen.
    #[error("the password was not shown")]
    Check(#[from] CheckPasswordError),
    /// Nobody could then administer the platform.
    #[error("they are the last administrator")]
    LastAdministrator,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Deletes a user's own account and everything that tells of them, and says so.
///
/// # Errors
/// See [`DeleteAccountError`].
pub async fn delete_account(
    db: &Db,
    hasher: &PasswordHasher,
    ended: &EndedSessions,
    limits: Limits,
    input: &DeleteAccount,
) -> Result<(), DeleteAccountError> {
    let checked = check_password(db, hasher, limits, input.user, &input.password, &input.client).await?;
    if !input.confirmed {
        return Err(DeleteAccountError::Unconfirmed);
    }
    let checked = checked.password_hash.as_str();
    db.write(|tx| async move { delete(&tx, ended, input.user, checked).await })
        .await
}

async fn delete(
    tx: &Tx,
    ended: &EndedSessions,
    user: UserId,
    checked: &str,
) -> Result<(), DeleteAccountError> {
    let mut accounts = store::user::lock_with_administrators(tx.conn(), &[user]).await?;
    if is_last_administrator(user, accounts.values().map(|account| &account.user)) {
        return Err(DeleteAccountError::LastAdministrator);
    }
    let account = accounts
        .remove(&user)
        .filter(|account| account.password_hash == checked)
        .ok_or(CheckPasswordError::Wrong)?;
    erase_user(tx, ended, account.user).await?;
    Ok(())
}

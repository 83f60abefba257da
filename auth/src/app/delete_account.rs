//! Deletes an account, as its owner wants it.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    db::{Db, Tx},
    ids::UserId,
    sessions::EndedSessions,
};

use super::{
    CheckPasswordError, Client, Limits, PasswordHasher,
    check_password::{Checked, check_password},
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
    let checked = &check_password(db, hasher, limits, input.user, &input.password, &input.client).await?;
    db.write(|tx| async move { delete(&tx, ended, input, checked).await })
        .await
}

async fn delete(
    tx: &Tx,
    ended: &EndedSessions,
    input: &DeleteAccount,
    checked: &Checked,
) -> Result<(), DeleteAccountError> {
    let user = input.user;
    let mut accounts = store::user::lock_with_administrators(tx.conn(), &[user]).await?;
    checked.may_be_told(tx).await?;
    if !input.confirmed {
        return Err(DeleteAccountError::Unconfirmed);
    }
    if is_last_administrator(user, accounts.values().map(|account| &account.user)) {
        return Err(DeleteAccountError::LastAdministrator);
    }
    let account = accounts
        .remove(&user)
        .filter(|account| checked.is_of(&account.password_hash))
        .ok_or(CheckPasswordError::Wrong)?;
    erase_user(tx, ended, account.user).await?;
    Ok(())
}

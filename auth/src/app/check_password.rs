//! Has the owner of an account show that it is them, before what can't be undone.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{db::Db, ids::UserId};

use super::{Client, HashError, Limits, PasswordHasher, Throttled, throttle::Guesser};
use crate::store::{self, user::Account};

/// Why it is not them, as far as can be seen.
#[derive(Debug, thiserror::Error)]
pub enum CheckPasswordError {
    /// That is not the password.
    #[error("the password is wrong")]
    Wrong,
    /// Too many passwords were wrong.
    #[error("too many wrong passwords")]
    Throttled(#[source] Throttled),
    /// The password can't be checked.
    #[error("the password could not be checked")]
    Hash(#[from] HashError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// The account, if this is its password. Wrong ones count as at a login.
pub(super) async fn check_password(
    db: &Db,
    hasher: &PasswordHasher,
    limits: Limits,
    user: UserId,
    password: &SecretString,
    client: &Client,
) -> Result<Account, CheckPasswordError> {
    let account = store::user::find_account(db.reader(), user)
        .await?
        .ok_or(CheckPasswordError::Wrong)?;
    let guesser = &Guesser::new(account.user.email.normal(), client);
    if let Some(throttled) = guesser.check(db.reader(), limits, db.now()).await? {
        return Err(CheckPasswordError::Throttled(throttled));
    }
    if hasher.verify(password, Some(&account.password_hash)).await? {
        return Ok(account);
    }
    let throttled = db
        .write::<_, DbErr, _>(|tx| async move { guesser.count(&tx, limits).await })
        .await?;
    Err(throttled.map_or(CheckPasswordError::Wrong, CheckPasswordError::Throttled))
}

//! Has the owner of an account show that it is them, before what can't be undone.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    db::{Db, Tx},
    ids::UserId,
    throttle::Throttled,
};

use super::{Client, HashError, Limits, PasswordHasher, Turn, throttle::Guesser};
use crate::store;

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

/// A password that was checked and is right, which nobody is to be told yet.
pub(super) struct Checked {
    guesser: Guesser,
    limits: Limits,
    password_hash: String,
}

impl Checked {
    /// With whom another password of theirs waits to be hashed.
    pub(super) fn turn(&self) -> Turn {
        self.guesser.turn()
    }

    /// To be asked in the transaction that answers, before anything that tells that the password was
    /// right: others may have guessed while it was checked, and this may be the guess that was right.
    pub(super) async fn may_be_told(&self, tx: &Tx) -> Result<(), CheckPasswordError> {
        match self.guesser.check(tx.conn(), self.limits, tx.now()).await? {
            None => Ok(()),
            Some(throttled) => Err(CheckPasswordError::Throttled(throttled)),
        }
    }

    /// Whether it is still the password of the locked account, whose hash is this one.
    pub(super) fn is_of(&self, password_hash: &str) -> bool {
        self.password_hash == password_hash
    }
}

/// Checks the password of an account. Wrong ones count as at a login.
pub(super) async fn check_password(
    db: &Db,
    hasher: &PasswordHasher,
    limits: Limits,
    user: UserId,
    password: &SecretString,
    client: &Client,
) -> Result<Checked, CheckPasswordError> {
    let account = store::user::find_account(db.reader(), user)
        .await?
        .ok_or(CheckPasswordError::Wrong)?;
    let guesser = Guesser::new(account.user.email.normal(), client);
    if let Some(throttled) = guesser.check(db.reader(), limits, db.now()).await? {
        return Err(CheckPasswordError::Throttled(throttled));
    }
    let hash = Some(account.password_hash.as_str());
    if hasher.verify(password, hash, guesser.turn()).await? {
        return Ok(Checked {
            guesser,
            limits,
            password_hash: account.password_hash,
        });
    }
    let guesser = &guesser;
    let throttled = db
        .write::<_, DbErr, _>(|tx| async move { guesser.count(&tx, limits).await })
        .await?;
    Err(throttled.map_or(CheckPasswordError::Wrong, CheckPasswordError::Throttled))
}

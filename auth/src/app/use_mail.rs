//! Does what a letter with a secret in it was for.

use sea_orm::{ConnectionTrait, DbErr};
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    clock::Instant,
    contracts::{MailPurpose, UserStatus},
    db::{Db, Tx},
    sessions::EndedSessions,
    throttle::Throttled,
};

use super::{
    Client, HashError, Limits, MailKey, PasswordHasher, Turn,
    end_sessions::{Which, end_of_locked},
    throttle::{self, Counted, account_hash},
};
use crate::{
    domain::Password,
    store::{
        self,
        mail_request::{self, MailRequest},
    },
};

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum UseMailError {
    /// The secret is none, was used, or has expired.
    #[error("the secret is good for nothing")]
    Invalid,
    /// Who got it is blocked; it stays good for when that is over.
    #[error("the account is blocked")]
    Blocked,
    /// Too many were wrong.
    #[error("too many wrong secrets")]
    Throttled(#[source] Throttled),
    /// The password can't be hashed.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Somebody who says to have got a letter.
#[derive(Clone, Debug)]
pub struct UseMail {
    /// The secret in it.
    pub secret: SecretString,
    /// With what, from where.
    pub client: Client,
}

/// The letter whose secret this is, if it is good for `purpose`.
async fn find(
    conn: &impl ConnectionTrait,
    key: &MailKey,
    secret: &SecretString,
    purpose: MailPurpose,
    now: Instant,
) -> Result<Option<MailRequest>, DbErr> {
    let Some(id) = MailKey::id_in(secret.expose_secret()) else {
        return Ok(None);
    };
    let request = mail_request::find_good(conn, id, now).await?;
    Ok(request.filter(|request| request.purpose == purpose && key.is_of(request, secret.expose_secret())))
}

/// The same, and whoever tries one after the other has to wait.
async fn look(
    db: &Db,
    key: &MailKey,
    limits: Limits,
    input: &UseMail,
    purpose: MailPurpose,
) -> Result<MailRequest, UseMailError> {
    let (counted, client) = (Counted::MailSecret, &input.client);
    if let Some(throttled) = throttle::check(db.reader(), counted, client, limits, db.now()).await? {
        return Err(UseMailError::Throttled(throttled));
    }
    if let Some(request) = find(db.reader(), key, &input.secret, purpose, db.now()).await? {
        // Before a password is hashed: a secret that is not used up could have that done again and again.
        let status = store::user::status(db.reader(), request.user_id).await?;
        if status == Some(UserStatus::Blocked) {
            return Err(UseMailError::Blocked);
        }
        return Ok(request);
    }
    let throttled = db
        .write::<_, DbErr, _>(|tx| async move { throttle::count(&tx, counted, client, limits).await })
        .await?;
    Err(throttled.map_or(UseMailError::Invalid, UseMailError::Throttled))
}

/// Gives the account another password, and ends all its sessions: whoever chose to reset it may not
/// be the only one who is logged in. The letter also shows that the address is theirs.
///
/// # Errors
/// See [`UseMailError`].
pub async fn reset_password(
    db: &Db,
    key: &MailKey,
    hasher: &PasswordHasher,
    ended: &EndedSessions,
    limits: Limits,
    input: &UseMail,
    new: &Password,
) -> Result<(), UseMailError> {
    let request = &look(db, key, limits, input, MailPurpose::ResetPassword).await?;
    let turn = Turn::new(None, input.client.place());
    let hash = hasher.hash(new.secret(), turn).await?;
    let hash = hash.as_str();
    db.write(|tx| async move {
        let user = request.user_id;
        let account = lock_reader(&tx, request).await?;
        mail_request::consume_all(tx.conn(), user, MailPurpose::ResetPassword, tx.now()).await?;
        store::user::update_password(tx.conn(), user, hash).await?;
        store::user::confirm_email(tx.conn(), user).await?;
        end_of_locked(&tx, ended, user, Which::All).await?;
        // What failed before was a password that is no more.
        shared::throttle::forget_account(tx.conn(), &account_hash(&account)).await?;
        Ok(())
    })
    .await
}

/// The address is its owner's: they have read what was sent there.
///
/// # Errors
/// See [`UseMailError`].
pub async fn confirm_email(
    db: &Db,
    key: &MailKey,
    limits: Limits,
    input: &UseMail,
) -> Result<(), UseMailError> {
    let request = &look(db, key, limits, input, MailPurpose::ConfirmEmail).await?;
    db.write(|tx| async move {
        lock_reader(&tx, request).await?;
        mail_request::consume_all(tx.conn(), request.user_id, MailPurpose::ConfirmEmail, tx.now()).await?;
        Ok(store::user::confirm_email(tx.conn(), request.user_id).await?)
    })
    .await
}

/// Locks who got the letter and uses it up; of two who use it at once, one does. Returns the
/// address, as compared.
async fn lock_reader(tx: &Tx, request: &MailRequest) -> Result<String, UseMailError> {
    let account = store::user::lock(tx.conn(), &[request.user_id])
        .await?
        .remove(&request.user_id)
        .ok_or(UseMailError::Invalid)?;
    match account.user.status {
        UserStatus::Active => {}
        UserStatus::Blocked => return Err(UseMailError::Blocked),
        UserStatus::Deleted => return Err(UseMailError::Invalid),
    }
    if !mail_request::consume(tx.conn(), request.id, tx.now()).await? {
        return Err(UseMailError::Invalid);
    }
    Ok(account.user.email.normal().to_owned())
}

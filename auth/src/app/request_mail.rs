//! Has letters with a secret in them written.

use chrono::Duration;
use sea_orm::DbErr;
use shared::{
    contracts::{MailPurpose, MailRequestedV1},
    db::{Db, Tx},
    ids::{MailRequestId, UserId},
    throttle::Throttled,
};

use super::{
    Client, Limits,
    throttle::{self, Counted, account_hash},
};
use crate::{
    domain::{Email, User},
    store::{
        self,
        mail_request::{self, MailRequest},
    },
};

/// For so long an address can be confirmed.
const CONFIRMATION: Duration = Duration::days(3);
/// For so long a password can be chosen anew.
const RESET: Duration = Duration::hours(1);

/// Says that a user is to get a letter for this.
pub(super) async fn request_mail(tx: &Tx, user: &User, purpose: MailPurpose) -> Result<(), DbErr> {
    let lifetime = match purpose {
        MailPurpose::ConfirmEmail => CONFIRMATION,
        MailPurpose::ResetPassword => RESET,
    };
    let request = MailRequest {
        id: MailRequestId::new(tx.now()),
        user_id: user.id,
        purpose,
        requested_at: tx.now(),
        expires_at: tx.now() + lifetime,
        used_at: None,
    };
    mail_request::insert(tx.conn(), &request).await?;
    tx.emit(&MailRequestedV1 {
        mail_request_id: request.id,
        user_id: user.id,
        purpose,
        locale: user.locale,
        requested_at: request.requested_at,
        expires_at: request.expires_at,
    })?;
    Ok(())
}

/// Why nobody gets a letter, as far as it is told.
#[derive(Debug, thiserror::Error)]
pub enum RequestMailError {
    /// Too many were asked for.
    #[error("too many letters were asked for")]
    Throttled(#[source] Throttled),
    /// The address is confirmed.
    #[error("the address is confirmed already")]
    Confirmed,
    /// There is no such user: it is a program.
    #[error("there is no such user")]
    NotFound,
    /// They may do nothing any more.
    #[error("the account is not active")]
    NotActive,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Sends the owner of `email` a letter with which they can choose a new password, unless they are
/// blocked. Whoever asks is not told whether there is somebody, neither by the answer nor by the time
/// that it takes.
///
/// # Errors
/// See [`RequestMailError`].
pub async fn forgot_password(
    db: &Db,
    limits: Limits,
    email: &str,
    client: &Client,
) -> Result<(), RequestMailError> {
    if let Some(throttled) = throttle::check(db.reader(), Counted::Letter, client, limits, db.now()).await? {
        return Err(RequestMailError::Throttled(throttled));
    }
    // That it was one too many is kept, too, and told when it is.
    let counted = db.write(|tx| async move {
        // Before anything is counted: who resets the password locks in that order too.
        let user = lock_owner(&tx, email).await?;
        let account = account_hash(email);
        let throttled = count(&tx, MailPurpose::ResetPassword, &account, limits, client).await?;
        // Who is blocked could do nothing with it.
        if let (None, Some(user)) = (throttled, user.filter(User::is_active)) {
            request_mail(&tx, &user, MailPurpose::ResetPassword).await?;
        }
        Ok::<_, RequestMailError>(throttled)
    });
    counted
        .await?
        .map_or(Ok(()), |throttled| Err(RequestMailError::Throttled(throttled)))
}

/// Sends a user another letter with which they can confirm their address.
///
/// # Errors
/// See [`RequestMailError`].
pub async fn resend_confirmation(
    db: &Db,
    limits: Limits,
    user: UserId,
    client: &Client,
) -> Result<(), RequestMailError> {
    let counted = db.write(|tx| async move { confirm_again(&tx, limits, user, client).await });
    counted
        .await?
        .map_or(Ok(()), |throttled| Err(RequestMailError::Throttled(throttled)))
}

async fn confirm_again(
    tx: &Tx,
    limits: Limits,
    user: UserId,
    client: &Client,
) -> Result<Option<Throttled>, RequestMailError> {
    let user = store::user::lock(tx.conn(), &[user])
        .await?
        .remove(&user)
        .map(|account| account.user)
        .ok_or(RequestMailError::NotFound)?;
    if !user.is_active() {
        return Err(RequestMailError::NotActive);
    }
    if user.email_confirmed {
        return Err(RequestMailError::Confirmed);
    }
    let account = account_hash(user.email.normal());
    let throttled = count(tx, MailPurpose::ConfirmEmail, &account, limits, client).await?;
    if throttled.is_none() {
        request_mail(tx, &user, MailPurpose::ConfirmEmail).await?;
    }
    Ok(throttled)
}

/// Locks whoever has this address.
async fn lock_owner(tx: &Tx, email: &str) -> Result<Option<User>, DbErr> {
    let Ok(email) = Email::parse(email) else {
        return Ok(None);
    };
    let Some(found) = store::user::find_by_email(tx.conn(), &email).await? else {
        return Ok(None);
    };
    let id = found.user.id;
    let locked = store::user::lock(tx.conn(), &[id]).await?.remove(&id);
    // They may have deleted their account in between.
    Ok(locked
        .map(|account| account.user)
        .filter(|user| user.email.normal() == email.normal()))
}

/// Counts a letter from one address and to one account; says if it is one too many, which counts all
/// the same.
async fn count(
    tx: &Tx,
    purpose: MailPurpose,
    account: &str,
    limits: Limits,
    client: &Client,
) -> Result<Option<Throttled>, DbErr> {
    let of_address = throttle::count(tx, Counted::Letter, client, limits).await?;
    let of_account = throttle::count_letter(tx, purpose, account).await?;
    Ok(of_address.max(of_account))
}

//! Has letters with a secret in them written.

use chrono::Duration;
use sea_orm::DbErr;
use shared::{
    contracts::{MailPurpose, MailRequestedV1, UserStatus},
    db::{Db, Tx},
    ids::{MailRequestId, UserId},
};

use super::{
    Client, Limits, Throttled,
    throttle::{self, Guess, account_hash},
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

/// So many letters of a kind somebody gets within a quarter of an hour.
const MOST_LETTERS: u32 = 3;

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
    /// There is no such user, or they may do nothing.
    #[error("the account is not active")]
    NotActive,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Sends the owner of `email` a letter with which they can choose a new password. Whoever asks is
/// not told whether there is somebody, neither by the answer nor by the time that it takes.
///
/// # Errors
/// See [`RequestMailError`].
pub async fn forgot_password(
    db: &Db,
    limits: Limits,
    email: &str,
    client: &Client,
) -> Result<(), RequestMailError> {
    let guess = Guess::ForgottenPassword;
    if let Some(throttled) = throttle::check(db.reader(), guess, client, limits, db.now()).await? {
        return Err(RequestMailError::Throttled(throttled));
    }
    db.write(|tx| async move {
        throttle::count(&tx, guess, client, limits).await?;
        let account = &account_hash(email);
        let enough = throttle::count_letter(&tx, guess, account, MOST_LETTERS).await?;
        let found = match Email::parse(email) {
            Ok(email) => store::user::find_by_email(tx.conn(), &email).await?,
            Err(_) => None,
        };
        match found {
            Some(found) if enough.is_none() => {
                request_mail(&tx, &found.user, MailPurpose::ResetPassword).await?;
            }
            _ => {}
        }
        Ok(())
    })
    .await
}

/// Sends a user another letter with which they can confirm their address.
///
/// # Errors
/// See [`RequestMailError`].
pub async fn resend_confirmation(tx: &Tx, user: UserId) -> Result<(), RequestMailError> {
    let user = store::user::lock(tx.conn(), &[user])
        .await?
        .remove(&user)
        .map(|account| account.user)
        .filter(|user| user.status == UserStatus::Active)
        .ok_or(RequestMailError::NotActive)?;
    if user.email_confirmed {
        return Err(RequestMailError::Confirmed);
    }
    let account = account_hash(user.email.normal());
    let throttled = throttle::count_letter(tx, Guess::Confirmation, &account, MOST_LETTERS).await?;
    if let Some(throttled) = throttled {
        return Err(RequestMailError::Throttled(throttled));
    }
    Ok(request_mail(tx, &user, MailPurpose::ConfirmEmail).await?)
}

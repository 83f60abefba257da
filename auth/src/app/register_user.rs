//! Opens an account.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::{Locale, MailPurpose, UserRegisteredV1},
    db::{Db, Tx},
    ids::UserId,
    throttle::Throttled,
    zone::Zone,
};

use super::{
    Client, HashError, Limits, PasswordHasher, Turn,
    request_mail::request_mail,
    throttle::{self, Counted, account_hash},
};
use crate::{
    domain::{ADMIN, Email, Password, USER, User},
    store,
};

/// A new account.
#[derive(Clone, Debug)]
pub struct RegisterUser {
    /// What its owner logs in with.
    pub email: Email,
    /// Their password.
    pub password: Password,
    /// In which language to write to them.
    pub locale: Locale,
    /// Their time zone; none is the platform's.
    pub time_zone: Option<Zone>,
}

/// Why there is no new account.
#[derive(Debug, thiserror::Error)]
pub enum RegisterUserError {
    /// The e-mail address has one.
    #[error("the e-mail address has an account already")]
    EmailTaken,
    /// Too many accounts were to be opened from one address.
    #[error("too many registrations")]
    Throttled(#[source] Throttled),
    /// The password.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Opens an account for a customer.
///
/// # Errors
/// See [`RegisterUserError`].
pub async fn register_user(
    db: &Db,
    hasher: &PasswordHasher,
    limits: Limits,
    input: &RegisterUser,
    client: &Client,
) -> Result<User, RegisterUserError> {
    let counted = Counted::Registration;
    if let Some(throttled) = throttle::check(db.reader(), counted, client, limits, db.now()).await? {
        return Err(RegisterUserError::Throttled(throttled));
    }
    let outcome = open_account(db, hasher, input, USER, Some((client, limits))).await;
    if let Err(RegisterUserError::EmailTaken) = outcome {
        // Counted too: else one could look which addresses have an account.
        let throttled = db
            .write::<_, DbErr, _>(|tx| async move { throttle::count(&tx, counted, client, limits).await })
            .await?;
        if let Some(throttled) = throttled {
            return Err(RegisterUserError::Throttled(throttled));
        }
    }
    outcome
}

/// Opens an account for somebody with this role, and counts it against whoever asks for it.
pub(super) async fn open_account(
    db: &Db,
    hasher: &PasswordHasher,
    input: &RegisterUser,
    role: &str,
    counted: Option<(&Client, Limits)>,
) -> Result<User, RegisterUserError> {
    let place = counted.map(|(client, _)| client.place()).unwrap_or_default();
    let turn = Turn::new(Some(account_hash(input.email.normal())), place);
    let hash = hasher.hash(input.password.secret(), turn).await?;
    let hash = hash.as_str();
    db.write(|tx| async move {
        let user = insert(&tx, input, role, hash).await?;
        // Last, since all who register from one address wait here for each other.
        if let Some((client, limits)) = counted
            && let Some(throttled) = throttle::count(&tx, Counted::Registration, client, limits).await?
        {
            return Err(RegisterUserError::Throttled(throttled));
        }
        Ok(user)
    })
    .await
}

async fn insert(tx: &Tx, input: &RegisterUser, role: &str, hash: &str) -> Result<User, RegisterUserError> {
    let mut user = User::register(
        UserId::new(tx.now()),
        input.email.clone(),
        input.locale,
        role,
        tx.now(),
    );
    user.time_zone = input.time_zone;
    // Whoever makes an administrator, at the command line, vouches for the address.
    user.email_confirmed = role == ADMIN;
    if !store::user::insert(tx.conn(), &user, hash).await? {
        return Err(RegisterUserError::EmailTaken);
    }
    tx.emit(&UserRegisteredV1(user.state()))?;
    if role == ADMIN {
        let deed = Deed {
            actor: None,
            action: "admin.create",
            subject: user.id.0,
            details: json!({}),
        };
        audit::record(tx, deed).await?;
    }
    if !user.email_confirmed {
        request_mail(tx, &user, MailPurpose::ConfirmEmail).await?;
    }
    Ok(user)
}

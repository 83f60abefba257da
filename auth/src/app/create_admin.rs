//! Makes an administrator, from the command line.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{contracts::Locale, db::Db, ids::UserId};

use super::{HashError, PasswordHasher, RegisterUser, RegisterUserError, register_user::open_account};
use crate::domain::{ADMIN, Email, EmailError, Password, PasswordError};

/// Why there is no new administrator.
#[derive(Debug, thiserror::Error)]
pub enum CreateAdminError {
    /// The e-mail address is none.
    #[error("the e-mail address can't be used")]
    Email(#[source] EmailError),
    /// The password may not be chosen.
    #[error("the password can't be used")]
    Password(#[source] PasswordError),
    /// Somebody has that address. Their account is left as it is: whoever registered it first
    /// need not be who is meant.
    #[error("the e-mail address has an account already")]
    EmailTaken,
    /// The password can't be hashed.
    #[error("the password could not be hashed")]
    Hash(#[source] HashError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

impl From<RegisterUserError> for CreateAdminError {
    fn from(error: RegisterUserError) -> Self {
        match error {
            // Nobody is throttled at the command line.
            RegisterUserError::EmailTaken | RegisterUserError::Throttled(_) => Self::EmailTaken,
            RegisterUserError::Hash(error) => Self::Hash(error),
            RegisterUserError::Store(error) => Self::Store(error),
        }
    }
}

/// Makes an administrator in auth's database, beside a running platform too: the other services
/// hear of it through its outbox. Returns who it is.
///
/// # Errors
/// See [`CreateAdminError`]; nothing is changed then.
pub async fn create_admin(db: &Db, email: &str, password: SecretString) -> Result<UserId, CreateAdminError> {
    let input = RegisterUser {
        email: Email::parse(email).map_err(CreateAdminError::Email)?,
        password: Password::choose(password).map_err(CreateAdminError::Password)?,
        locale: Locale::default(),
        time_zone: None,
    };
    let hasher = PasswordHasher::new().await.map_err(CreateAdminError::Hash)?;
    Ok(open_account(db, &hasher, &input, ADMIN, None).await?.id)
}

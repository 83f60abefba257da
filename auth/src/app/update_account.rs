//! Changes what an account's owner may change without more ado.

use sea_orm::DbErr;
use shared::{
    contracts::{Locale, UserUpdatedV1},
    db::Tx,
    ids::UserId,
    zone::Zone,
};

use crate::{domain::User, store};

/// What becomes of an account; what is absent stays.
#[derive(Clone, Copy, Debug)]
pub struct UpdateAccount {
    /// Whose.
    pub user: UserId,
    /// In which language to write to them.
    pub locale: Option<Locale>,
    /// Their time zone; of that none is the platform's.
    pub time_zone: Option<Option<Zone>>,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateAccountError {
    /// There is no such user: it is a program.
    #[error("there is no such user")]
    NotFound,
    /// The account was blocked in the meantime.
    #[error("the account is blocked")]
    NotActive,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Changes an account and says so, if that changes anything.
///
/// # Errors
/// See [`UpdateAccountError`].
pub async fn update_account(tx: &Tx, input: UpdateAccount) -> Result<User, UpdateAccountError> {
    let mut user = store::user::lock(tx.conn(), &[input.user])
        .await?
        .remove(&input.user)
        .ok_or(UpdateAccountError::NotFound)?
        .user;
    if !user.is_active() {
        return Err(UpdateAccountError::NotActive);
    }
    let before = user.version;
    if let Some(locale) = input.locale {
        user.speak(locale);
    }
    if let Some(time_zone) = input.time_zone {
        user.set_time_zone(time_zone);
    }
    if user.version != before {
        // One change, whatever is changed at once.
        user.version = before + 1;
        store::user::update_state(tx.conn(), &user).await?;
        tx.emit(&UserUpdatedV1(user.state()))?;
    }
    Ok(user)
}

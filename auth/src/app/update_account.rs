//! Changes what an account's owner may change without more ado.

use sea_orm::DbErr;
use shared::{
    contracts::{Locale, UserUpdatedV1},
    db::Tx,
    ids::UserId,
};

use crate::{
    domain::{Change, User},
    store,
};

/// What becomes of an account; what is absent stays.
#[derive(Clone, Copy, Debug)]
pub struct UpdateAccount {
    /// Whose.
    pub user: UserId,
    /// In which language to write to them.
    pub locale: Option<Locale>,
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
    if let Some(locale) = input.locale
        && user.speak(locale) == Change::Made
    {
        store::user::update_state(tx.conn(), &user).await?;
        tx.emit(&UserUpdatedV1(user.state()))?;
    }
    Ok(user)
}

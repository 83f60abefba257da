//! Blocks a user everywhere.

use sea_orm::DbErr;
use shared::{contracts::UserBlockedV1, db::Tx, ids::UserId};

use crate::{
    domain::{Change, StatusError, User},
    store,
};

/// Whom, and who does it.
#[derive(Clone, Copy, Debug)]
pub struct BlockUser {
    /// Whom.
    pub user: UserId,
    /// The administrator.
    pub by: UserId,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum BlockUserError {
    /// There is no such user, or no longer.
    #[error("there is no such user")]
    NotFound,
    /// They are who does it.
    #[error("nobody can block themselves")]
    Oneself,
    /// Who does it may not act any more: of two administrators who block each other, one wins.
    #[error("the administrator is blocked")]
    NotActive,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Blocks a user and says so; one who is blocked stays blocked, and nothing is said.
///
/// # Errors
/// See [`BlockUserError`].
pub async fn block_user(tx: &Tx, input: BlockUser) -> Result<User, BlockUserError> {
    let mut accounts = store::user::lock(tx.conn(), &[input.user, input.by]).await?;
    if !accounts
        .get(&input.by)
        .is_some_and(|account| account.user.is_active())
    {
        return Err(BlockUserError::NotActive);
    }
    let mut user = accounts.remove(&input.user).ok_or(BlockUserError::NotFound)?.user;
    let change = user.block(input.by).map_err(|error| match error {
        StatusError::Oneself => BlockUserError::Oneself,
        StatusError::Deleted => BlockUserError::NotFound,
    })?;
    if change == Change::Made {
        store::user::update_status(tx.conn(), &user).await?;
        tx.emit(&UserBlockedV1(user.state()))?;
    }
    Ok(user)
}

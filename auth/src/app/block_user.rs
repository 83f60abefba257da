//! Blocks a user everywhere.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::UserBlockedV1,
    db::Tx,
    ids::UserId,
    sessions::EndedSessions,
};

use super::end_sessions::{Which, end_of_locked};
use crate::{
    domain::{Change, StatusError, User, is_last_administrator},
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
    /// Nobody could then administer the platform.
    #[error("they are the last administrator")]
    LastAdministrator,
    /// Who does it may not act any more: of two administrators who block each other, one wins.
    #[error("the administrator is blocked")]
    NotActive,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Blocks a user, ends their sessions and says so; one who is blocked stays blocked, and nothing is said.
///
/// # Errors
/// See [`BlockUserError`].
pub async fn block_user(tx: &Tx, ended: &EndedSessions, input: BlockUser) -> Result<User, BlockUserError> {
    let mut accounts = store::user::lock_with_administrators(tx.conn(), &[input.user, input.by]).await?;
    if !accounts
        .get(&input.by)
        .is_some_and(|account| account.user.is_active())
    {
        return Err(BlockUserError::NotActive);
    }
    // Whoever blocks need not be an administrator.
    let is_last = is_last_administrator(input.user, accounts.values().map(|account| &account.user));
    if is_last && input.user != input.by {
        return Err(BlockUserError::LastAdministrator);
    }
    let mut user = accounts.remove(&input.user).ok_or(BlockUserError::NotFound)?.user;
    let change = user.block(input.by).map_err(|error| match error {
        StatusError::Oneself => BlockUserError::Oneself,
        StatusError::Deleted => BlockUserError::NotFound,
    })?;
    if change == Change::Made {
        store::user::update_state(tx.conn(), &user).await?;
        tx.emit(&UserBlockedV1(user.state()))?;
        end_of_locked(tx, ended, user.id, Which::All).await?;
        let deed = Deed {
            actor: Some(input.by),
            action: "user.block",
            subject: user.id.0,
            details: json!({}),
        };
        audit::record(tx, deed).await?;
    }
    Ok(user)
}

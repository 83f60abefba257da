//! Blocks a user everywhere.

use sea_orm::DbErr;
use serde_json::{Value, json};
use shared::{
    audit::{self, Deed},
    contracts::{Permission, UserBlockedV1, UserStatus},
    db::Tx,
    ids::UserId,
    justification::Justification,
    sessions::EndedSessions,
};

use super::{
    actor::{ActorError, held_by, outranks},
    end_sessions::{Which, end_of_locked},
};
use crate::{
    domain::{Change, StatusError, User, is_last_administrator},
    store,
};

/// Whom, and who does it.
#[derive(Clone, Debug)]
pub struct BlockUser {
    /// Whom.
    pub user: UserId,
    /// The administrator, or a program.
    pub by: UserId,
    /// Why, if they say it.
    pub reason: Option<Justification>,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum BlockUserError {
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// The account is gone.
    #[error("the account is deleted")]
    Deleted,
    /// They are who does it.
    #[error("nobody can block themselves")]
    Oneself,
    /// Nobody could then administer the platform.
    #[error("they are the last administrator")]
    LastAdministrator,
    /// Who does it may not.
    #[error("who does it may not do it")]
    Actor(#[from] ActorError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Blocks a user, ends their sessions and says so; one who is blocked stays blocked, and nothing is said.
/// Whoever does it may do all that the user may.
///
/// # Errors
/// See [`BlockUserError`].
pub async fn block_user(tx: &Tx, ended: &EndedSessions, input: &BlockUser) -> Result<User, BlockUserError> {
    let mut accounts = store::user::lock_with_administrators(tx.conn(), &[input.user, input.by]).await?;
    let held = held_by(tx, input.by, &accounts, Permission::UsersBlock).await?;
    let user = accounts.get(&input.user).ok_or(BlockUserError::NotFound)?;
    if user.user.status == UserStatus::Deleted {
        return Err(BlockUserError::Deleted);
    }
    outranks(tx, &held, &user.user).await?;
    // Whoever blocks need not be an administrator.
    let is_last = is_last_administrator(input.user, accounts.values().map(|account| &account.user));
    if is_last && input.user != input.by {
        return Err(BlockUserError::LastAdministrator);
    }
    let mut user = accounts.remove(&input.user).ok_or(BlockUserError::NotFound)?.user;
    let change = user.block(input.by).map_err(|error| match error {
        StatusError::Oneself => BlockUserError::Oneself,
        StatusError::Deleted => BlockUserError::Deleted,
    })?;
    if change == Change::Made {
        store::user::update_state(tx.conn(), &user).await?;
        tx.emit(&UserBlockedV1(user.state()))?;
        end_of_locked(tx, ended, user.id, Which::All).await?;
        let deed = Deed {
            actor: Some(input.by),
            action: "user.block",
            subject: user.id.0,
            details: why(input.reason.as_ref()),
        };
        audit::record(tx, deed).await?;
    }
    Ok(user)
}

/// What the audit log keeps of the reason for a block, or for its end.
pub(super) fn why(reason: Option<&Justification>) -> Value {
    reason.map_or_else(|| json!({}), |reason| json!({"reason": reason.as_str()}))
}

//! Lifts the block of a user.

use sea_orm::DbErr;
use shared::{
    audit::{self, Deed},
    contracts::{Permission, UserUnblockedV1},
    db::Tx,
    ids::UserId,
    justification::Justification,
};

use super::{
    actor::{ActorError, held_by, outranks},
    block_user::why,
};
use crate::{
    domain::{Change, User},
    store,
};

/// Whom, and who does it.
#[derive(Clone, Debug)]
pub struct UnblockUser {
    /// Whom.
    pub user: UserId,
    /// The administrator, or a program.
    pub by: UserId,
    /// Why, if they say it.
    pub reason: Option<Justification>,
}

/// Why nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum UnblockUserError {
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// The account is gone.
    #[error("the account is deleted")]
    Deleted,
    /// Who does it may not.
    #[error("who does it may not do it")]
    Actor(#[from] ActorError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Lifts a user's block and says so; one who is not blocked stays so, and nothing is said. Whoever
/// does it may do all that the user may.
///
/// # Errors
/// See [`UnblockUserError`].
pub async fn unblock_user(tx: &Tx, input: &UnblockUser) -> Result<User, UnblockUserError> {
    let mut accounts = store::user::lock(tx.conn(), &[input.user, input.by]).await?;
    let held = held_by(tx, input.by, &accounts, Permission::UsersBlock).await?;
    let mut user = accounts
        .remove(&input.user)
        .ok_or(UnblockUserError::NotFound)?
        .user;
    outranks(tx, &held, &user).await?;
    let change = user.unblock().map_err(|_| UnblockUserError::Deleted)?;
    if change == Change::Made {
        store::user::update_state(tx.conn(), &user).await?;
        tx.emit(&UserUnblockedV1(user.state()))?;
        let deed = Deed {
            actor: Some(input.by),
            action: "user.unblock",
            subject: user.id.0,
            details: why(input.reason.as_ref()),
        };
        audit::record(tx, deed).await?;
    }
    Ok(user)
}

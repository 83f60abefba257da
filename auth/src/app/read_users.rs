//! Looks users up.

use sea_orm::{ConnectionTrait, DbErr, Order};
use shared::{contracts::UserStatus, ids::UserId};

use super::issue_client_token::BUILT_IN;
pub use crate::store::user::{UserFilter, UserPosition, UserSort};
use crate::{domain::User, store};

/// A page of users.
#[derive(Clone, Debug, Default)]
pub struct ListUsers {
    /// Which.
    pub filter: UserFilter,
    /// By what they are sorted.
    pub sort: UserSort,
    /// Whether the largest comes first.
    pub descending: bool,
    /// The last user of the page before.
    pub after: Option<UserPosition>,
    /// At most so many.
    pub limit: u64,
}

/// The user, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find_user(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<User>, DbErr> {
    store::user::find(conn, id).await
}

/// The users that fit.
///
/// # Errors
/// When the database refuses.
pub async fn list_users(conn: &impl ConnectionTrait, input: &ListUsers) -> Result<Vec<User>, DbErr> {
    let order = if input.descending { Order::Desc } else { Order::Asc };
    let after = input.after.as_ref();
    store::user::list(conn, &input.filter, input.sort, order, after, input.limit).await
}

/// Whether this is the id of somebody with an account, be it a deleted one, and not of a program.
///
/// # Errors
/// When the database refuses.
pub async fn is_user(conn: &impl ConnectionTrait, id: UserId) -> Result<bool, DbErr> {
    Ok(store::user::status(conn, id).await?.is_some())
}

/// The status of whoever has this id: a user, or a program, which is deleted if it was disabled. An
/// id that nobody has is that of a deleted user: here, unlike in the other services, everybody is
/// known.
///
/// # Errors
/// When the database refuses.
pub async fn status_of(conn: &impl ConnectionTrait, id: UserId) -> Result<UserStatus, DbErr> {
    if let Some(status) = store::user::status(conn, id).await? {
        return Ok(status);
    }
    if id == BUILT_IN.id {
        return Ok(UserStatus::Active);
    }
    let client = store::client::find(conn, id).await?;
    Ok(match client {
        Some((client, _)) if client.disabled_at.is_none() => UserStatus::Active,
        _ => UserStatus::Deleted,
    })
}

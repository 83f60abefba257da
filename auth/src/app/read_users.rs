//! Looks users up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{clock::Instant, contracts::UserStatus, ids::UserId};
use uuid::Uuid;

pub use crate::store::user::UserFilter;
use crate::{domain::User, store};

/// A page of users, newest first.
#[derive(Clone, Debug, Default)]
pub struct ListUsers {
    /// Which.
    pub filter: UserFilter,
    /// When the last user of the page before registered, and their id.
    pub after: Option<(Instant, Uuid)>,
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
    store::user::list(conn, &input.filter, input.after, input.limit).await
}

/// The status of whoever has this id. An id that nobody has is that of a deleted user: here,
/// unlike in the other services, everybody is known.
///
/// # Errors
/// When the database refuses.
pub async fn status_of(conn: &impl ConnectionTrait, id: UserId) -> Result<UserStatus, DbErr> {
    Ok(store::user::status(conn, id)
        .await?
        .unwrap_or(UserStatus::Deleted))
}

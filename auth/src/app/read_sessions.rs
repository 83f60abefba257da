//! What a user may know of their logins.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{clock::Instant, ids::UserId};
use uuid::Uuid;

use crate::store;
pub use crate::store::{login::Login, session::Session};

/// A user's sessions that can go on, newest first; at most `limit` from behind `after` on.
///
/// # Errors
/// When the database refuses.
pub async fn list_sessions(
    conn: &impl ConnectionTrait,
    user: UserId,
    now: Instant,
    after: Option<(Instant, Uuid)>,
    limit: u64,
) -> Result<Vec<Session>, DbErr> {
    store::session::list(conn, user, now, after, limit).await
}

/// Who tried to log in to a user's account, newest first; at most `limit` from behind `after` on.
///
/// # Errors
/// When the database refuses.
pub async fn list_logins(
    conn: &impl ConnectionTrait,
    user: UserId,
    after: Option<(Instant, Uuid)>,
    limit: u64,
) -> Result<Vec<Login>, DbErr> {
    store::login::list(conn, user, after, limit).await
}

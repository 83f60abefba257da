//! Looks subscriptions up.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::UserId;

use super::After;
use crate::{domain::subscription::Subscription, store};

/// At most `limit` subscriptions of `user`, the last to start first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_subscriptions(
    conn: &impl ConnectionTrait,
    user: UserId,
    after: After,
    limit: u64,
) -> Result<Vec<Subscription>, DbErr> {
    store::subscription::list(conn, user, after, limit).await
}

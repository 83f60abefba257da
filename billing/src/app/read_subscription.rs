//! Looks subscriptions up.

use sea_orm::{ConnectionTrait, DbErr};

pub use crate::store::subscription::SubscriptionFilter;
use crate::{domain::subscription::Subscription, store};

/// The subscriptions that `filter` asks for, the last to start first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_subscriptions(
    conn: &impl ConnectionTrait,
    filter: &SubscriptionFilter,
) -> Result<Vec<Subscription>, DbErr> {
    store::subscription::list(conn, filter).await
}

//! A user wants no other subscription after the one they have.

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{SubscriptionId, UserId},
};

use crate::{
    domain::subscription::{Ended, Subscription, cancel},
    store,
};

/// Why it could not be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelSubscriptionError {
    /// There is no such subscription of this user.
    #[error("there is no such subscription")]
    NotFound,
    /// It is over.
    #[error("the subscription can't be cancelled")]
    Ended(#[from] Ended),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Cancels the subscription `id` of `user` as of its end; one that is cancelled stays so.
///
/// # Errors
/// When it is not theirs, or is over.
pub async fn cancel_subscription(
    tx: &Tx,
    user: UserId,
    id: SubscriptionId,
) -> Result<Subscription, CancelSubscriptionError> {
    let own = store::subscription::lock(tx.conn(), id)
        .await?
        .filter(|subscription| subscription.user_id == user);
    let own = own.ok_or(CancelSubscriptionError::NotFound)?;
    let cancelled = cancel(own, tx.now())?;
    store::subscription::cancel(tx.conn(), &cancelled).await?;
    Ok(cancelled)
}

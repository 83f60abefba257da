//! A user no longer wants a purchase that still waits.

use shared::{
    contracts::FailureReason,
    db::Tx,
    ids::{PurchaseId, UserId},
};

use super::{
    books::Books,
    settle_purchases::{SettleError, TellPurchase, settle_purchases},
};
use crate::{
    domain::purchase::{Purchase, PurchaseState, SagaMessage},
    store,
};

/// Why it could not be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such purchase of this user.
    #[error("there is no such purchase")]
    NotFound,
    /// It has ended otherwise.
    #[error("the purchase is not pending")]
    NotPending,
    /// It could not be told.
    #[error("the purchase could not be told")]
    Settle(#[from] SettleError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] sea_orm::DbErr),
}

/// Cancels the purchase `id` of `user_id`; one that is cancelled already stays so.
///
/// # Errors
/// When it is not theirs, or has ended otherwise.
pub async fn cancel_purchase(
    tx: &Tx,
    books: &Books,
    user_id: UserId,
    id: PurchaseId,
) -> Result<Purchase, CancelError> {
    let own = store::purchase::find(tx.conn(), id)
        .await?
        .filter(|purchase| purchase.user_id == user_id);
    let Some(_) = own else {
        return Err(CancelError::NotFound);
    };
    let told = TellPurchase {
        purchase_id: id,
        user_id: None,
        message: SagaMessage::CancelRequested,
    };
    settle_purchases(tx, books, &[told]).await?;
    let purchase = store::purchase::find(tx.conn(), id)
        .await?
        .ok_or(CancelError::NotFound)?;
    match purchase.state {
        PurchaseState::Failed(FailureReason::Cancelled) => Ok(purchase),
        _ => Err(CancelError::NotPending),
    }
}

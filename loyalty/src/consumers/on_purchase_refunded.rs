//! A purchase was refunded.

use async_trait::async_trait;
use shared::{
    contracts::PurchaseRefundedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::{
    decide_waiting_holds::WaitingHolds,
    note_purchasers::note_purchasers,
    settle_redemptions::{PurchaseEnded, settle_redemptions},
};

/// Gives the use of its redemption back if the terms say so. May come before it is known to be paid.
pub(crate) struct OnPurchaseRefunded(pub WaitingHolds);

#[async_trait]
impl Handle<PurchaseRefundedV1> for OnPurchaseRefunded {
    async fn handle(&self, tx: &Tx, messages: &[PurchaseRefundedV1]) -> Result<(), HandleError> {
        let ended: Vec<_> = messages.iter().filter_map(PurchaseEnded::refunded).collect();
        settle_redemptions(tx, &ended, &self.0).await?;
        note_purchasers(tx, messages.iter().map(|event| event.user_id)).await?;
        Ok(())
    }
}

//! A purchase failed.

use async_trait::async_trait;
use shared::{
    contracts::PurchaseFailedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::{
    decide_waiting_holds::WaitingHolds,
    settle_redemptions::{PurchaseEnded, settle_redemptions},
};

/// Cancels its redemption and gives the use back.
pub(crate) struct OnPurchaseFailed(pub WaitingHolds);

#[async_trait]
impl Handle<PurchaseFailedV1> for OnPurchaseFailed {
    async fn handle(&self, tx: &Tx, messages: &[PurchaseFailedV1]) -> Result<(), HandleError> {
        let ended: Vec<_> = messages.iter().filter_map(PurchaseEnded::failed).collect();
        Ok(settle_redemptions(tx, &ended, &self.0).await?)
    }
}

//! A purchase was paid.

use async_trait::async_trait;
use shared::{
    contracts::PurchasePaidV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::{
    decide_waiting_holds::WaitingHolds,
    note_purchasers::note_purchasers,
    settle_redemptions::{PurchaseEnded, settle_redemptions},
};

/// Confirms its redemption, and remembers its buyer as one.
pub(crate) struct OnPurchasePaid(pub WaitingHolds);

#[async_trait]
impl Handle<PurchasePaidV1> for OnPurchasePaid {
    async fn handle(&self, tx: &Tx, messages: &[PurchasePaidV1]) -> Result<(), HandleError> {
        let ended: Vec<_> = messages.iter().filter_map(PurchaseEnded::paid).collect();
        settle_redemptions(tx, &ended, &self.0).await?;
        note_purchasers(tx, messages.iter().map(|event| event.user_id)).await?;
        Ok(())
    }
}

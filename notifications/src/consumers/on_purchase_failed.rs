//! A purchase failed.

use async_trait::async_trait;
use shared::{
    contracts::PurchaseFailedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnPurchaseFailed(pub Letters);

#[async_trait]
impl Handle<PurchaseFailedV1> for OnPurchaseFailed {
    async fn handle(&self, tx: &Tx, messages: &[PurchaseFailedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

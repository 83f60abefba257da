//! A purchase was given back.

use async_trait::async_trait;
use shared::{
    contracts::PurchaseRefundedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnPurchaseRefunded(pub Letters);

#[async_trait]
impl Handle<PurchaseRefundedV1> for OnPurchaseRefunded {
    async fn handle(&self, tx: &Tx, messages: &[PurchaseRefundedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

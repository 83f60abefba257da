//! A purchase was given back.

use async_trait::async_trait;
use shared::{
    contracts::PurchaseRefundedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters about it.
pub struct OnPurchaseRefunded;

#[async_trait]
impl Handle<PurchaseRefundedV1> for OnPurchaseRefunded {
    async fn handle(&self, tx: &Tx, messages: &[PurchaseRefundedV1]) -> Result<(), HandleError> {
        Ok(make_letters(tx, messages).await?)
    }
}

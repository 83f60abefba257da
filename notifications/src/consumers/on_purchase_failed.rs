//! A purchase failed.

use async_trait::async_trait;
use shared::{
    contracts::PurchaseFailedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters about it.
pub struct OnPurchaseFailed;

#[async_trait]
impl Handle<PurchaseFailedV1> for OnPurchaseFailed {
    async fn handle(&self, tx: &Tx, messages: &[PurchaseFailedV1]) -> Result<(), HandleError> {
        Ok(make_letters(tx, messages).await?)
    }
}

//! A purchase was paid.

use async_trait::async_trait;
use shared::{
    contracts::PurchasePaidV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnPurchasePaid(pub Letters);

#[async_trait]
impl Handle<PurchasePaidV1> for OnPurchasePaid {
    async fn handle(&self, tx: &Tx, messages: &[PurchasePaidV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

//! A promocode was made available to somebody.

use async_trait::async_trait;
use shared::{
    contracts::PromocodeGrantedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnPromocodeGranted(pub Letters);

#[async_trait]
impl Handle<PromocodeGrantedV1> for OnPromocodeGranted {
    async fn handle(&self, tx: &Tx, messages: &[PromocodeGrantedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

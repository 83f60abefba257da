//! A top-up was declined.

use async_trait::async_trait;
use shared::{
    contracts::TopUpFailedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnTopUpFailed(pub Letters);

#[async_trait]
impl Handle<TopUpFailedV1> for OnTopUpFailed {
    async fn handle(&self, tx: &Tx, messages: &[TopUpFailedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

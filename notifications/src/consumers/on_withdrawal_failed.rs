//! A withdrawal was refused.

use async_trait::async_trait;
use shared::{
    contracts::WithdrawalFailedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnWithdrawalFailed(pub Letters);

#[async_trait]
impl Handle<WithdrawalFailedV1> for OnWithdrawalFailed {
    async fn handle(&self, tx: &Tx, messages: &[WithdrawalFailedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

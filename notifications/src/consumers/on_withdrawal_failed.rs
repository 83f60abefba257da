//! A withdrawal was refused.

use async_trait::async_trait;
use shared::{
    contracts::WithdrawalFailedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters about it.
pub struct OnWithdrawalFailed;

#[async_trait]
impl Handle<WithdrawalFailedV1> for OnWithdrawalFailed {
    async fn handle(&self, tx: &Tx, messages: &[WithdrawalFailedV1]) -> Result<(), HandleError> {
        Ok(make_letters(tx, messages).await?)
    }
}

//! Money came into a wallet.

use async_trait::async_trait;
use shared::{
    contracts::WalletCreditedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnWalletCredited(pub Letters);

#[async_trait]
impl Handle<WalletCreditedV1> for OnWalletCredited {
    async fn handle(&self, tx: &Tx, messages: &[WalletCreditedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

//! Money left a wallet.

use async_trait::async_trait;
use shared::{
    contracts::WalletDebitedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnWalletDebited(pub Letters);

#[async_trait]
impl Handle<WalletDebitedV1> for OnWalletDebited {
    async fn handle(&self, tx: &Tx, messages: &[WalletDebitedV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

//! Money left a wallet.

use async_trait::async_trait;
use shared::{
    contracts::WalletDebitedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters about it.
pub struct OnWalletDebited;

#[async_trait]
impl Handle<WalletDebitedV1> for OnWalletDebited {
    async fn handle(&self, tx: &Tx, messages: &[WalletDebitedV1]) -> Result<(), HandleError> {
        Ok(make_letters(tx, messages).await?)
    }
}

//! Money came into a wallet.

use async_trait::async_trait;
use shared::{
    contracts::WalletCreditedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters about it.
pub struct OnWalletCredited;

#[async_trait]
impl Handle<WalletCreditedV1> for OnWalletCredited {
    async fn handle(&self, tx: &Tx, messages: &[WalletCreditedV1]) -> Result<(), HandleError> {
        Ok(make_letters(tx, messages).await?)
    }
}

//! Somebody signed up: they get a wallet.

use async_trait::async_trait;
use shared::{
    contracts::UserRegisteredV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::open_wallets::open_wallets;

/// Opens wallets.
pub(super) struct OnUserRegistered;

#[async_trait]
impl Handle<UserRegisteredV1> for OnUserRegistered {
    async fn handle(&self, tx: &Tx, messages: &[UserRegisteredV1]) -> Result<(), HandleError> {
        Ok(open_wallets(tx, messages.iter().map(|message| message.0.user_id)).await?)
    }
}

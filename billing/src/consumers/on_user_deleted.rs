//! Somebody deleted their account: what they leave is the platform's.

use async_trait::async_trait;
use shared::{
    contracts::UserDeletedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::{books::Books, forfeit_wallets::forfeit_wallets, forget_users::forget_users};

/// Forgets what they typed, and empties wallets.
pub(super) struct OnUserDeleted(pub Books);

#[async_trait]
impl Handle<UserDeletedV1> for OnUserDeleted {
    async fn handle(&self, tx: &Tx, messages: &[UserDeletedV1]) -> Result<(), HandleError> {
        let users = messages.iter().map(|message| message.0.user_id);
        // Purchases are locked before wallets, as everywhere.
        forget_users(tx, users.clone()).await?;
        Ok(forfeit_wallets(tx, &self.0, users).await?)
    }
}

//! Somebody registered.

use async_trait::async_trait;
use shared::{
    contracts::UserRegisteredV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnUserRegistered(pub Letters);

#[async_trait]
impl Handle<UserRegisteredV1> for OnUserRegistered {
    async fn handle(&self, tx: &Tx, messages: &[UserRegisteredV1]) -> Result<(), HandleError> {
        Ok(self.0.make(tx, messages).await?)
    }
}

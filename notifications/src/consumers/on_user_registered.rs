//! Somebody registered.

use async_trait::async_trait;
use shared::{
    contracts::UserRegisteredV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters about it.
pub struct OnUserRegistered;

#[async_trait]
impl Handle<UserRegisteredV1> for OnUserRegistered {
    async fn handle(&self, tx: &Tx, messages: &[UserRegisteredV1]) -> Result<(), HandleError> {
        Ok(make_letters(tx, messages).await?)
    }
}

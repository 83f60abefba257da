//! An account was deleted.

use async_trait::async_trait;
use shared::{
    contracts::UserDeletedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::forget_users::forget_users;

/// Takes its owner out of groups, and forgets what they typed.
pub(crate) struct OnUserDeleted;

#[async_trait]
impl Handle<UserDeletedV1> for OnUserDeleted {
    async fn handle(&self, tx: &Tx, messages: &[UserDeletedV1]) -> Result<(), HandleError> {
        Ok(forget_users(tx, messages.iter().map(|event| event.0.user_id)).await?)
    }
}

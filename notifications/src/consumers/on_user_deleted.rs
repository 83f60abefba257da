//! An account was deleted.

use async_trait::async_trait;
use shared::{
    contracts::UserDeletedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::forget_user::forget_users;

/// Mails nothing more to its owner.
pub struct OnUserDeleted;

#[async_trait]
impl Handle<UserDeletedV1> for OnUserDeleted {
    async fn handle(&self, tx: &Tx, messages: &[UserDeletedV1]) -> Result<(), HandleError> {
        let users: Vec<_> = messages.iter().map(|event| event.0.user_id).collect();
        Ok(forget_users(tx, &users).await?)
    }
}

//! An administrator lifted a block.

use async_trait::async_trait;
use shared::{
    contracts::UserUnblockedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::{app::make_letters::Letters, domain::outcome::AccountUnblocked};

/// Makes the letters about it.
pub struct OnUserUnblocked(pub Letters);

#[async_trait]
impl Handle<UserUnblockedV1> for OnUserUnblocked {
    async fn handle(&self, tx: &Tx, messages: &[UserUnblockedV1]) -> Result<(), HandleError> {
        let outcomes: Vec<_> = messages
            .iter()
            .map(|event| AccountUnblocked {
                user_id: event.0.user_id,
                version: event.0.version,
                heard_at: tx.now(),
            })
            .collect();
        Ok(self.0.make(tx, &outcomes).await?)
    }
}

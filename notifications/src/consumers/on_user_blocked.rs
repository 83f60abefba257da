//! An administrator blocked somebody.

use async_trait::async_trait;
use shared::{
    contracts::UserBlockedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::{app::make_letters::Letters, domain::outcome::AccountBlocked};

/// Makes the letters about it.
pub struct OnUserBlocked(pub Letters);

#[async_trait]
impl Handle<UserBlockedV1> for OnUserBlocked {
    async fn handle(&self, tx: &Tx, messages: &[UserBlockedV1]) -> Result<(), HandleError> {
        let outcomes: Vec<_> = messages
            .iter()
            .map(|event| AccountBlocked {
                user_id: event.0.user_id,
                version: event.0.version,
                heard_at: tx.now(),
            })
            .collect();
        Ok(self.0.make(tx, &outcomes).await?)
    }
}

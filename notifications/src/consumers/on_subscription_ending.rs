//! A subscription ends soon.

use async_trait::async_trait;
use shared::{
    contracts::SubscriptionEndingV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::{app::make_letters::Letters, domain::outcome::SubscriptionEnding};

/// Makes the letters about it.
pub struct OnSubscriptionEnding(pub Letters);

#[async_trait]
impl Handle<SubscriptionEndingV1> for OnSubscriptionEnding {
    async fn handle(&self, tx: &Tx, messages: &[SubscriptionEndingV1]) -> Result<(), HandleError> {
        let outcomes: Vec<_> = messages
            .iter()
            .map(|event| SubscriptionEnding {
                event: event.clone(),
                heard_at: tx.now(),
            })
            .collect();
        Ok(self.0.make(tx, &outcomes).await?)
    }
}

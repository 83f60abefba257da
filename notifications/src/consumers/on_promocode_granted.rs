//! A promocode was made available to somebody.

use async_trait::async_trait;
use shared::{
    contracts::PromocodeGrantedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Makes the letters about it.
pub struct OnPromocodeGranted(pub Letters);

#[async_trait]
impl Handle<PromocodeGrantedV1> for OnPromocodeGranted {
    async fn handle(&self, tx: &Tx, messages: &[PromocodeGrantedV1]) -> Result<(), HandleError> {
        // Earlier programs granted what was over already: no letter promises that.
        let is_good = |granted: &&PromocodeGrantedV1| {
            granted.ends_at.is_none_or(|ends_at| ends_at > granted.granted_at)
        };
        let good: Vec<_> = messages.iter().filter(is_good).cloned().collect();
        Ok(self.0.make(tx, &good).await?)
    }
}

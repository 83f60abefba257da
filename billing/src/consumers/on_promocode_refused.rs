//! Loyalty refuses promocodes: their purchases fail, never at full price.

use async_trait::async_trait;
use shared::{
    contracts::PromocodeRefusedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use super::Teller;
use crate::{app::settle_purchases::TellPurchase, domain::purchase::SagaMessage};

/// Fails purchases.
pub(super) struct OnPromocodeRefused(pub Teller);

#[async_trait]
impl Handle<PromocodeRefusedV1> for OnPromocodeRefused {
    async fn handle(&self, tx: &Tx, messages: &[PromocodeRefusedV1]) -> Result<(), HandleError> {
        let told: Vec<_> = messages
            .iter()
            .map(|refused| TellPurchase {
                purchase_id: refused.purchase_id,
                user_id: Some(refused.user_id),
                message: SagaMessage::Refused {
                    reasons: refused.reasons.clone(),
                },
            })
            .collect();
        self.0.tell(tx, &told).await
    }
}

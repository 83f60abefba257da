//! Loyalty holds no use for purchases that would fail at their price: they fail.

use async_trait::async_trait;
use iso_currency::Currency;
use shared::{
    contracts::PromocodeNotHeldV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use super::Teller;
use crate::{app::settle_purchases::TellPurchase, domain::purchase::SagaMessage};

/// Fails purchases.
pub(super) struct OnPromocodeNotHeld(pub Teller);

#[async_trait]
impl Handle<PromocodeNotHeldV1> for OnPromocodeNotHeld {
    async fn handle(&self, tx: &Tx, messages: &[PromocodeNotHeldV1]) -> Result<(), HandleError> {
        let told: Vec<_> = messages
            .iter()
            .map(|not_held| read(not_held, self.0.books.currency))
            .collect::<Result<_, _>>()?;
        self.0.tell(tx, &told).await
    }
}

fn read(not_held: &PromocodeNotHeldV1, currency: Currency) -> Result<TellPurchase, HandleError> {
    if [not_held.list_price, not_held.discount, not_held.final_price]
        .iter()
        .any(|money| money.currency != currency)
    {
        return Err(HandleError::rule(format!(
            "the answer for {} is in another currency",
            not_held.purchase_id
        )));
    }
    Ok(TellPurchase {
        purchase_id: not_held.purchase_id,
        user_id: Some(not_held.user_id),
        message: SagaMessage::NotHeld {
            list_price: not_held.list_price.amount,
            discount: not_held.discount.amount,
            final_price: not_held.final_price.amount,
            reason: not_held.reason,
        },
    })
}

//! Loyalty holds promocodes: their purchases are charged.

use async_trait::async_trait;
use iso_currency::Currency;
use shared::{
    contracts::PromocodeHeldV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use super::Teller;
use crate::{app::settle_purchases::TellPurchase, domain::purchase::SagaMessage};

/// Charges purchases.
pub(super) struct OnPromocodeHeld(pub Teller);

#[async_trait]
impl Handle<PromocodeHeldV1> for OnPromocodeHeld {
    async fn handle(&self, tx: &Tx, messages: &[PromocodeHeldV1]) -> Result<(), HandleError> {
        let told: Vec<_> = messages
            .iter()
            .map(|held| read(held, self.0.books.currency))
            .collect::<Result<_, _>>()?;
        self.0.tell(tx, &told).await
    }
}

fn read(held: &PromocodeHeldV1, currency: Currency) -> Result<TellPurchase, HandleError> {
    if [held.list_price, held.discount, held.final_price]
        .iter()
        .any(|money| money.currency != currency)
    {
        return Err(HandleError::rule(format!(
            "the hold for {} is in another currency",
            held.purchase_id
        )));
    }
    let message = SagaMessage::Held {
        list_price: held.list_price.amount,
        discount: held.discount.amount,
        final_price: held.final_price.amount,
        first_purchase_only: held.first_purchase_only,
    };
    Ok(TellPurchase {
        purchase_id: held.purchase_id,
        user_id: Some(held.user_id),
        message,
    })
}

//! Billing wants a promocode held.

use async_trait::async_trait;
use iso_currency::Currency;
use shared::{
    contracts::HoldPromocodeV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::{
    app::{
        decide_waiting_holds::WaitingHolds,
        hold_promocodes::{HoldPromocodesError, hold_promocodes},
    },
    domain::guess::GuessLimits,
};

/// Holds it, says why not, or lets it wait.
pub(crate) struct OnHoldPromocode {
    /// The platform's currency.
    pub currency: Currency,
    /// How many unknown promocodes are answered.
    pub guesses: GuessLimits,
    /// Where holds wait.
    pub waiting: WaitingHolds,
}

#[async_trait]
impl Handle<HoldPromocodeV1> for OnHoldPromocode {
    async fn handle(&self, tx: &Tx, messages: &[HoldPromocodeV1]) -> Result<(), HandleError> {
        hold_promocodes(tx, messages, self.currency, self.guesses, &self.waiting)
            .await
            .map_err(|error| match error {
                HoldPromocodesError::Store(error) => HandleError::Store(error),
                // No later try will change what the sender said.
                HoldPromocodesError::ImpossiblePrice(error) => HandleError::Unreadable(error.to_string()),
                error @ HoldPromocodesError::CounterNotLoaded(_) => HandleError::rule(error),
            })
    }
}

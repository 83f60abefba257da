//! A tariff was made or changed.

use async_trait::async_trait;
use iso_currency::Currency;
use shared::{
    contracts::TariffChangedV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::{
    cached_terms::CachedTerms,
    replicate_tariffs::{ReplicateTariffsError, replicate_tariffs},
};

/// Takes its newest state over.
pub(crate) struct OnTariffChanged {
    /// The platform's currency.
    pub currency: Currency,
    /// Forgets what was before.
    pub terms: CachedTerms,
}

#[async_trait]
impl Handle<TariffChangedV1> for OnTariffChanged {
    async fn handle(&self, tx: &Tx, messages: &[TariffChangedV1]) -> Result<(), HandleError> {
        replicate_tariffs(tx, &self.terms, messages, self.currency)
            .await
            .map_err(|error| match error {
                ReplicateTariffsError::Store(error) => HandleError::Store(error),
                // No later try will change what the sender said.
                error @ ReplicateTariffsError::ImpossiblePrice { .. } => {
                    HandleError::Unreadable(error.to_string())
                }
            })
    }
}

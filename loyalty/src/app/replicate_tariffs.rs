//! Takes over what billing says of its tariffs.

use iso_currency::Currency;
use sea_orm::DbErr;
use shared::{contracts::TariffChangedV1, db::Tx, money::Money};

use super::cached_terms::CachedTerms;
use crate::store;

/// Why tariffs can't be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicateTariffsError {
    #[error("a price of {found} can't be on a platform whose currency is {}", currency.code())]
    ImpossiblePrice { found: Money, currency: Currency },
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// The newest state of each wins, in whatever order they come.
pub(crate) async fn replicate_tariffs(
    tx: &Tx,
    terms: &CachedTerms,
    states: &[TariffChangedV1],
    currency: Currency,
) -> Result<(), ReplicateTariffsError> {
    let impossible = |price: &Money| price.currency != currency || price.amount.is_negative();
    if let Some(found) = states.iter().map(|state| state.price).find(impossible) {
        return Err(ReplicateTariffsError::ImpossiblePrice { found, currency });
    }
    store::tariffs::replicate(tx.conn(), states).await?;
    terms.tariffs_changed(tx, states);
    Ok(())
}

//! What billing hears.

mod on_promocode_held;
mod on_promocode_refused;
mod on_report_purchase;
mod on_user_registered;

use shared::{
    contracts::{PromocodeHeldV1, PromocodeRefusedV1, ReportPurchaseV1, UserRegisteredV1},
    db::Tx,
    inbox::{HandleError, Handlers},
    users,
};

use crate::app::{
    books::Books,
    settle_purchases::{SettleError, TellPurchase, settle_purchases},
};

/// Everything that billing's queue takes.
#[must_use]
pub fn handlers(books: &Books) -> Handlers {
    // Users first: who is blocked in the same batch is not charged.
    users::handlers(Handlers::new())
        .on::<UserRegisteredV1>(on_user_registered::OnUserRegistered)
        .on::<PromocodeHeldV1>(on_promocode_held::OnPromocodeHeld { books: books.clone() })
        .on::<PromocodeRefusedV1>(on_promocode_refused::OnPromocodeRefused { books: books.clone() })
        .on::<ReportPurchaseV1>(on_report_purchase::OnReportPurchase { books: books.clone() })
}

/// Tells purchases what a message says of them. A store error stays one, so that an outage is
/// waited for; all else is kept and tried again.
async fn tell(tx: &Tx, books: &Books, told: &[TellPurchase]) -> Result<(), HandleError> {
    settle_purchases(tx, books, told)
        .await
        .map_err(|error| match error {
            SettleError::Store(error) => HandleError::Store(error),
            error => HandleError::rule(error),
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use iso_currency::Currency;
    use shared::contracts::{QUEUES, ServiceName};

    use super::*;

    #[test]
    fn billing_handles_exactly_what_its_queue_takes() {
        let queues = QUEUES
            .iter()
            .filter(|queue| queue.service == ServiceName::Billing);
        let bound: BTreeSet<_> = queues
            .flat_map(|queue| queue.bindings)
            .map(|binding| binding.message_type)
            .collect();
        let handlers = handlers(&Books::empty(Currency::RUB));
        assert_eq!(handlers.types().collect::<BTreeSet<_>>(), bound);
    }
}

//! What billing hears.

mod on_promocode_held;
mod on_promocode_not_held;
mod on_promocode_refused;
mod on_report_purchase;
mod on_user_deleted;
mod on_user_registered;

use std::sync::Arc;

use shared::{
    cache::Versioned,
    contracts::{
        PromocodeHeldV1, PromocodeNotHeldV1, PromocodeRefusedV1, ReportPurchaseV1, UserDeletedV1,
        UserRegisteredV1,
    },
    db::Tx,
    inbox::{HandleError, Handlers},
    sessions::{self, EndedSessions},
    users,
};

use crate::app::{
    books::Books,
    read_purchase::PurchaseView,
    settle_purchases::{SettleError, TellPurchase, settle_purchases},
};

/// Hears of purchases that have ended in this process.
pub type OnEnded = Arc<dyn Fn(Vec<PurchaseView>) + Send + Sync>;

/// What the consumers that tell purchases something have in common.
#[derive(Clone)]
struct Teller {
    books: Books,
    on_ended: OnEnded,
}

/// Everything that billing's queue takes.
#[must_use]
pub fn handlers(
    books: &Books,
    users: &Versioned<users::entity::Model>,
    ended: &EndedSessions,
    on_ended: OnEnded,
) -> Handlers {
    let teller = Teller {
        books: books.clone(),
        on_ended,
    };
    // Users first: who is blocked in the same batch is not charged.
    sessions::handlers(users::handlers(Handlers::new(), users), ended)
        .on::<UserRegisteredV1>(on_user_registered::OnUserRegistered)
        .on::<UserDeletedV1>(on_user_deleted::OnUserDeleted(books.clone()))
        .on::<PromocodeHeldV1>(on_promocode_held::OnPromocodeHeld(teller.clone()))
        .on::<PromocodeRefusedV1>(on_promocode_refused::OnPromocodeRefused(teller.clone()))
        .on::<PromocodeNotHeldV1>(on_promocode_not_held::OnPromocodeNotHeld(teller.clone()))
        .on::<ReportPurchaseV1>(on_report_purchase::OnReportPurchase(teller))
}

impl Teller {
    /// Tells purchases what a message says of them. A store error stays one, so that an outage is
    /// waited for; all else is kept and tried again.
    async fn tell(&self, tx: &Tx, told: &[TellPurchase]) -> Result<(), HandleError> {
        let ended = settle_purchases(tx, &self.books, told).await;
        let ended = ended.map_err(|error| match error {
            SettleError::Store(error) => HandleError::Store(error),
            error => HandleError::rule(error),
        })?;
        if !ended.is_empty() {
            let on_ended = Arc::clone(&self.on_ended);
            tx.after_commit(async move { on_ended(ended) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use iso_currency::Currency;
    use shared::{
        cache::ServiceCache,
        contracts::{QUEUES, ServiceName},
    };

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
        let users = ServiceCache::embedded(ServiceName::Billing).versioned();
        let handlers = handlers(
            &Books::empty(Currency::RUB),
            &users,
            &EndedSessions::default(),
            Arc::new(|_| {}),
        );
        assert_eq!(handlers.types().collect::<BTreeSet<_>>(), bound);
    }
}

//! What loyalty does with the messages that come in.

mod on_hold_promocode;
mod on_purchase_failed;
mod on_purchase_paid;
mod on_purchase_refunded;
mod on_tariff_changed;
mod on_user_deleted;

use iso_currency::Currency;
use shared::{
    contracts::{
        HoldPromocodeV1, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1, TariffChangedV1, UserDeletedV1,
    },
    inbox::Handlers,
    sessions::{self, EndedSessions},
    users,
};

use on_hold_promocode::OnHoldPromocode;
use on_purchase_failed::OnPurchaseFailed;
use on_purchase_paid::OnPurchasePaid;
use on_purchase_refunded::OnPurchaseRefunded;
use on_tariff_changed::OnTariffChanged;
use on_user_deleted::OnUserDeleted;

use crate::{
    app::{cached_terms::CachedTerms, decide_waiting_holds::WaitingHolds},
    domain::guess::GuessLimits,
};

/// All of them. Of what comes together, a use that is given back is free before it is asked for
/// again.
pub(crate) fn handlers(
    currency: Currency,
    guesses: GuessLimits,
    terms: &CachedTerms,
    ended: &EndedSessions,
    waiting: &WaitingHolds,
) -> Handlers {
    let on_tariff_changed = OnTariffChanged {
        currency,
        terms: terms.clone(),
    };
    sessions::handlers(users::handlers(Handlers::new(), &terms.users), ended)
        .on::<TariffChangedV1>(on_tariff_changed)
        .on::<PurchasePaidV1>(OnPurchasePaid(waiting.clone()))
        .on::<PurchaseFailedV1>(OnPurchaseFailed(waiting.clone()))
        .on::<PurchaseRefundedV1>(OnPurchaseRefunded(waiting.clone()))
        .on::<HoldPromocodeV1>(OnHoldPromocode {
            currency,
            guesses,
            waiting: waiting.clone(),
        })
        // Last, since whoever writes down something of a user has locked campaigns and counts before.
        .on::<UserDeletedV1>(OnUserDeleted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::{
        cache::ServiceCache,
        contracts::{QUEUES, ServiceName},
    };

    use super::*;

    #[test]
    fn every_message_that_is_subscribed_to_is_handled() {
        let terms = CachedTerms::new(ServiceCache::embedded(ServiceName::Loyalty));
        let handlers = handlers(
            Currency::RUB,
            GuessLimits { user: 1, address: 1 },
            &terms,
            &EndedSessions::default(),
            &WaitingHolds::default(),
        );
        let queues = QUEUES
            .iter()
            .filter(|queue| queue.service == ServiceName::Loyalty);
        let subscribed: BTreeSet<_> = queues
            .flat_map(|queue| queue.bindings)
            .map(|binding| binding.message_type)
            .collect();
        assert_eq!(handlers.types().collect::<BTreeSet<_>>(), subscribed);
    }
}

//! What notifications hears.

mod on_mail_requested;
mod on_promocode_granted;
mod on_purchase_failed;
mod on_purchase_paid;
mod on_purchase_refunded;
mod on_subscription_ending;
mod on_top_up_failed;
mod on_user_blocked;
mod on_user_deleted;
mod on_user_registered;
mod on_user_unblocked;
mod on_wallet_credited;
mod on_wallet_debited;
mod on_withdrawal_failed;

use shared::{
    cache::Versioned,
    contracts::{
        MailRequestedV1, PromocodeGrantedV1, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1,
        SubscriptionEndingV1, TopUpFailedV1, UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserUnblockedV1,
        WalletCreditedV1, WalletDebitedV1, WithdrawalFailedV1,
    },
    inbox::Handlers,
    sessions::{self, EndedSessions},
    users,
};

use crate::app::make_letters::Letters;

/// Everything that is handled. The users come first, so that a letter is written in the language
/// that came in the same batch; their deletion
/// last, so that nothing of that batch is mailed to them.
pub fn handlers(
    users: &Versioned<users::entity::Model>,
    ended: &EndedSessions,
    letters: Letters,
) -> Handlers {
    sessions::handlers(users::handlers(Handlers::new(), users), ended)
        .on::<UserRegisteredV1>(on_user_registered::OnUserRegistered(letters))
        .on::<WalletCreditedV1>(on_wallet_credited::OnWalletCredited(letters))
        .on::<WalletDebitedV1>(on_wallet_debited::OnWalletDebited(letters))
        .on::<WithdrawalFailedV1>(on_withdrawal_failed::OnWithdrawalFailed(letters))
        .on::<TopUpFailedV1>(on_top_up_failed::OnTopUpFailed(letters))
        .on::<PurchasePaidV1>(on_purchase_paid::OnPurchasePaid(letters))
        .on::<PurchaseFailedV1>(on_purchase_failed::OnPurchaseFailed(letters))
        .on::<PurchaseRefundedV1>(on_purchase_refunded::OnPurchaseRefunded(letters))
        .on::<SubscriptionEndingV1>(on_subscription_ending::OnSubscriptionEnding(letters))
        .on::<PromocodeGrantedV1>(on_promocode_granted::OnPromocodeGranted(letters))
        .on::<UserBlockedV1>(on_user_blocked::OnUserBlocked(letters))
        .on::<UserUnblockedV1>(on_user_unblocked::OnUserUnblocked(letters))
        .on::<UserDeletedV1>(on_user_deleted::OnUserDeleted)
        .on::<MailRequestedV1>(on_mail_requested::OnMailRequested(letters))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::{
        cache::ServiceCache,
        contracts::{QUEUES, ServiceName},
        zone::Zone,
    };

    use super::*;

    #[test]
    fn everything_that_comes_in_is_handled_and_nothing_else() {
        let handlers = handlers(
            &ServiceCache::embedded(ServiceName::Notifications).versioned(),
            &EndedSessions::default(),
            Letters {
                mailed: true,
                time_zone: Zone::UTC,
            },
        );
        let handled: BTreeSet<_> = handlers.types().collect();
        let bound: BTreeSet<_> = QUEUES
            .iter()
            .filter(|queue| queue.service == ServiceName::Notifications)
            .flat_map(|queue| queue.bindings)
            .map(|binding| binding.message_type)
            .collect();
        assert_eq!(handled, bound);
    }
}

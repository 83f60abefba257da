//! Who listens to what: the one table. Every process declares all of it before it publishes,
//! so that no message precedes its queue.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    CampaignChangedV1, HoldPromocodeV1, MailRequestedV1, Message, PromocodeGrantedV1, PromocodeHeldV1,
    PromocodeNotHeldV1, PromocodeRefusedV1, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1,
    ReportPurchaseV1, SessionEndedV1, SubscriptionEndingV1, TariffChangedV1, TopUpFailedV1, UserBlockedV1,
    UserDeletedV1, UserRegisteredV1, UserUnblockedV1, UserUpdatedV1, WalletCreditedV1, WalletDebitedV1,
    WithdrawalFailedV1,
};

/// A service of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceName {
    /// Accounts, sessions, keys, roles.
    Auth,
    /// Campaigns, promocodes, redemptions.
    Loyalty,
    /// Wallets, tariffs, purchases, subscriptions.
    Billing,
    /// Letters.
    Notifications,
}

impl ServiceName {
    /// Every service there is.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Loyalty, Self::Billing, Self::Notifications];

    /// As it stands in URLs, queue names and configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Loyalty => "loyalty",
            Self::Billing => "billing",
            Self::Notifications => "notifications",
        }
    }
}

impl ServiceName {
    /// Its bit in a set of services, as the outbox keeps one. It never changes.
    #[must_use]
    pub const fn bit(self) -> i32 {
        match self {
            Self::Auth => 1,
            Self::Loyalty => 2,
            Self::Billing => 4,
            Self::Notifications => 8,
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// To queues bound with exactly the key: commands.
    Direct,
    /// To queues bound with a pattern of the key: events.
    Topic,
}

/// Where messages are published. All are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// What happened to users.
    AuthEvents,
    /// What loyalty is asked.
    LoyaltyCommands,
    /// What loyalty decided.
    LoyaltyEvents,
    /// What happened to purchases, wallets and tariffs.
    BillingEvents,
    /// What billing is asked.
    BillingCommands,
}

impl Exchange {
    /// Every exchange there is.
    pub const ALL: [Self; 5] = [
        Self::AuthEvents,
        Self::LoyaltyCommands,
        Self::LoyaltyEvents,
        Self::BillingEvents,
        Self::BillingCommands,
    ];

    /// Its name on the broker.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthEvents => "auth.events",
            Self::LoyaltyCommands => "loyalty.commands",
            Self::LoyaltyEvents => "loyalty.events",
            Self::BillingEvents => "billing.events",
            Self::BillingCommands => "billing.commands",
        }
    }

    /// The exchange of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|exchange| exchange.as_str() == name)
    }

    /// How it routes.
    #[must_use]
    pub const fn kind(self) -> ExchangeKind {
        match self {
            Self::LoyaltyCommands | Self::BillingCommands => ExchangeKind::Direct,
            Self::AuthEvents | Self::LoyaltyEvents | Self::BillingEvents => ExchangeKind::Topic,
        }
    }
}

/// One kind of message that a queue or a wake-up takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// From which exchange.
    pub exchange: Exchange,
    /// Under which key; no patterns.
    pub routing_key: &'static str,
    /// The CloudEvents type.
    pub message_type: &'static str,
}

const fn on<M: Message>() -> Binding {
    Binding {
        exchange: M::EXCHANGE,
        routing_key: M::ROUTING_KEY,
        message_type: M::TYPE,
    }
}

/// What a service takes from the others: durable, shared by its replicas, each message
/// handled exactly once. One queue a service, so that its messages come in batches and one
/// replica has one writer.
#[derive(Debug, PartialEq, Eq)]
pub struct Queue {
    /// On the broker; with a version, since a queue can't be declared again with other arguments.
    pub name: &'static str,
    /// Whose.
    pub service: ServiceName,
    /// What comes in.
    pub bindings: &'static [Binding],
}

/// What every replica of a service hears for itself: transient, without inbox. Wakes requests
/// that wait, and drops what is cached; losing one costs a moment, never truth.
#[derive(Debug, PartialEq, Eq)]
pub struct WakeUp {
    /// Whose.
    pub service: ServiceName,
    /// What comes in.
    pub bindings: &'static [Binding],
}

/// Every durable subscription of the platform.
pub static QUEUES: &[Queue] = &[
    Queue {
        name: "loyalty.v1",
        service: ServiceName::Loyalty,
        bindings: &[
            on::<UserRegisteredV1>(),
            on::<UserUpdatedV1>(),
            on::<UserBlockedV1>(),
            on::<UserUnblockedV1>(),
            on::<UserDeletedV1>(),
            on::<SessionEndedV1>(),
            on::<TariffChangedV1>(),
            on::<HoldPromocodeV1>(),
            on::<PurchasePaidV1>(),
            on::<PurchaseFailedV1>(),
            on::<PurchaseRefundedV1>(),
        ],
    },
    Queue {
        name: "billing.v1",
        service: ServiceName::Billing,
        bindings: &[
            on::<UserRegisteredV1>(),
            on::<UserUpdatedV1>(),
            on::<UserBlockedV1>(),
            on::<UserUnblockedV1>(),
            on::<UserDeletedV1>(),
            on::<SessionEndedV1>(),
            on::<PromocodeHeldV1>(),
            on::<PromocodeRefusedV1>(),
            on::<PromocodeNotHeldV1>(),
            on::<ReportPurchaseV1>(),
        ],
    },
    Queue {
        name: "notifications.v1",
        service: ServiceName::Notifications,
        bindings: &[
            on::<UserRegisteredV1>(),
            on::<UserUpdatedV1>(),
            on::<UserBlockedV1>(),
            on::<UserUnblockedV1>(),
            on::<UserDeletedV1>(),
            on::<SessionEndedV1>(),
            on::<WalletCreditedV1>(),
            on::<WalletDebitedV1>(),
            on::<WithdrawalFailedV1>(),
            on::<TopUpFailedV1>(),
            on::<PurchasePaidV1>(),
            on::<PurchaseFailedV1>(),
            on::<PurchaseRefundedV1>(),
            on::<SubscriptionEndingV1>(),
            on::<PromocodeGrantedV1>(),
            on::<MailRequestedV1>(),
        ],
    },
];

/// Every transient subscription of the platform.
pub static WAKE_UPS: &[WakeUp] = &[
    WakeUp {
        service: ServiceName::Billing,
        bindings: &[
            on::<PurchasePaidV1>(),
            on::<PurchaseFailedV1>(),
            on::<UserRegisteredV1>(),
            on::<UserUpdatedV1>(),
            on::<UserBlockedV1>(),
            on::<UserUnblockedV1>(),
            on::<UserDeletedV1>(),
            on::<SessionEndedV1>(),
        ],
    },
    WakeUp {
        service: ServiceName::Loyalty,
        bindings: &[
            on::<UserRegisteredV1>(),
            on::<UserUpdatedV1>(),
            on::<UserBlockedV1>(),
            on::<UserUnblockedV1>(),
            on::<UserDeletedV1>(),
            on::<SessionEndedV1>(),
            on::<TariffChangedV1>(),
            on::<CampaignChangedV1>(),
        ],
    },
    WakeUp {
        service: ServiceName::Notifications,
        bindings: &[
            on::<UserRegisteredV1>(),
            on::<UserUpdatedV1>(),
            on::<UserBlockedV1>(),
            on::<UserUnblockedV1>(),
            on::<UserDeletedV1>(),
            on::<SessionEndedV1>(),
        ],
    },
];

/// Every message there is.
pub static MESSAGES: &[Binding] = &[
    on::<UserRegisteredV1>(),
    on::<UserUpdatedV1>(),
    on::<UserBlockedV1>(),
    on::<UserUnblockedV1>(),
    on::<UserDeletedV1>(),
    on::<SessionEndedV1>(),
    on::<MailRequestedV1>(),
    on::<HoldPromocodeV1>(),
    on::<PromocodeGrantedV1>(),
    on::<PromocodeHeldV1>(),
    on::<PromocodeRefusedV1>(),
    on::<PromocodeNotHeldV1>(),
    on::<CampaignChangedV1>(),
    on::<PurchasePaidV1>(),
    on::<PurchaseFailedV1>(),
    on::<PurchaseRefundedV1>(),
    on::<SubscriptionEndingV1>(),
    on::<WalletCreditedV1>(),
    on::<WalletDebitedV1>(),
    on::<WithdrawalFailedV1>(),
    on::<TopUpFailedV1>(),
    on::<TariffChangedV1>(),
    on::<ReportPurchaseV1>(),
];

/// Where messages of this CloudEvents type are published: exchange and routing key.
#[must_use]
pub fn route_of(message_type: &str) -> Option<(Exchange, &'static str)> {
    MESSAGES
        .iter()
        .find(|binding| binding.message_type == message_type)
        .map(|binding| (binding.exchange, binding.routing_key))
}

/// Whether any queue takes this message. What nobody takes is published without `mandatory`.
#[must_use]
pub fn is_subscribed(exchange: Exchange, routing_key: &str) -> bool {
    QUEUES.iter().any(|queue| queue.takes(exchange, routing_key))
}

impl Queue {
    /// Whether it takes this message.
    #[must_use]
    pub fn takes(&self, exchange: Exchange, routing_key: &str) -> bool {
        self.bindings
            .iter()
            .any(|binding| binding.exchange == exchange && binding.routing_key == routing_key)
    }
}

/// The set of services (see [`ServiceName::bit`]) that must have committed this message before its
/// publisher forgets it. Commands are in no such set: each asks for an answer, and its sender asks again
/// or gives up at a deadline.
#[must_use]
pub fn subscribers(exchange: Exchange, routing_key: &str) -> i32 {
    if exchange.kind() == ExchangeKind::Direct {
        return 0;
    }
    QUEUES
        .iter()
        .filter(|queue| queue.takes(exchange, routing_key))
        .fold(0, |set, queue| set | queue.service.bit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_names_are_read_back() {
        for exchange in Exchange::ALL {
            assert_eq!(Exchange::parse(exchange.as_str()), Some(exchange));
        }
        assert_eq!(Exchange::parse("nobody.events"), None);
    }

    #[test]
    fn everything_that_is_subscribed_has_a_route() {
        let queues = QUEUES.iter().flat_map(|queue| queue.bindings);
        for binding in queues.chain(WAKE_UPS.iter().flat_map(|wake_up| wake_up.bindings)) {
            assert_eq!(
                route_of(binding.message_type),
                Some((binding.exchange, binding.routing_key))
            );
        }
    }

    #[test]
    fn every_event_is_kept_for_each_of_its_subscribers_and_no_command_is() {
        let set = |services: &[ServiceName]| services.iter().fold(0, |set, service| set | service.bit());
        let of = |message: &Binding| subscribers(message.exchange, message.routing_key);
        assert_eq!(
            of(&on::<UserBlockedV1>()),
            set(&[
                ServiceName::Loyalty,
                ServiceName::Billing,
                ServiceName::Notifications
            ])
        );
        assert_eq!(
            of(&on::<PurchasePaidV1>()),
            set(&[ServiceName::Loyalty, ServiceName::Notifications])
        );
        assert_eq!(
            of(&on::<PromocodeGrantedV1>()),
            set(&[ServiceName::Notifications])
        );
        assert_eq!(of(&on::<CampaignChangedV1>()), 0, "no queue takes it");
        for queue in QUEUES {
            for binding in queue.bindings {
                let is_command = binding.exchange.kind() == ExchangeKind::Direct;
                assert_eq!(of(binding) & queue.service.bit() == 0, is_command, "{binding:?}");
            }
        }
    }

    #[test]
    fn a_queue_takes_each_kind_of_message_once() {
        for queue in QUEUES {
            let mut keys: Vec<_> = queue
                .bindings
                .iter()
                .map(|binding| (binding.exchange.as_str(), binding.routing_key))
                .collect();
            keys.sort_unstable();
            let all = keys.len();
            keys.dedup();
            assert_eq!(keys.len(), all, "{}", queue.name);
        }
    }
}

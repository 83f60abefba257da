//! The database of billing.

mod m20261121_000010_ledger;
mod m20261121_000011_purchases;
mod m20261121_000030_refunds;
mod m20261121_000031_subscriptions;
mod m20261121_000032_adjustments;
mod m20261127_000043_forgotten_users;
mod m20261201_000050_expected_prices;
mod m20261201_000070_anchors;
mod m20261201_000072_moved_subscriptions;

use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared::contracts::ServiceName;

use crate::{
    awaiting::Awaiting,
    facts::PlatformFacts,
    messaging::Messaging,
    operation::Operation,
    throttles::Throttles,
    users::{UserZones, Users},
};

/// Its migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Messaging),
            Box::new(Users),
            Box::new(m20261121_000010_ledger::Ledger),
            Box::new(m20261121_000011_purchases::Purchases),
            Box::new(Operation),
            Box::new(m20261121_000030_refunds::Refunds),
            Box::new(m20261121_000031_subscriptions::Subscriptions),
            Box::new(m20261121_000032_adjustments::Adjustments),
            Box::new(m20261127_000043_forgotten_users::ForgottenUsers),
            Box::new(m20261201_000050_expected_prices::ExpectedPrices),
            Box::new(Throttles),
            Box::new(m20261201_000070_anchors::Anchors),
            Box::new(PlatformFacts(ServiceName::Billing)),
            Box::new(Awaiting),
            Box::new(UserZones),
            Box::new(m20261201_000072_moved_subscriptions::MovedSubscriptions),
        ]
    }
}

//! The database of loyalty.

mod m20261121_000003_promocodes;
mod m20261121_000022_eligibility;
mod m20261127_000040_recounts;
mod m20261127_000041_told_grants;
mod m20261127_000042_codes_of_refusals;
mod m20261127_000043_forgotten_users;
mod m20261201_000051_not_held;
mod m20261201_000052_waiting_holds;
mod m20261201_000055_normal_forms;
mod m20261201_000056_titles;

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
            Box::new(m20261121_000003_promocodes::Promocodes),
            Box::new(Operation),
            Box::new(m20261121_000022_eligibility::Eligibility),
            Box::new(m20261127_000040_recounts::Recounts),
            Box::new(m20261127_000041_told_grants::ToldGrants),
            Box::new(m20261127_000042_codes_of_refusals::CodesOfRefusals),
            Box::new(m20261127_000043_forgotten_users::ForgottenUsers),
            Box::new(m20261201_000051_not_held::NotHeld),
            Box::new(m20261201_000052_waiting_holds::WaitingHolds),
            Box::new(m20261201_000055_normal_forms::NormalForms),
            Box::new(m20261201_000056_titles::Titles),
            Box::new(PlatformFacts(ServiceName::Loyalty)),
            Box::new(Awaiting),
            Box::new(UserZones),
            Box::new(Throttles),
        ]
    }
}

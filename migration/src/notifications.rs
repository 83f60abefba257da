//! The database of notifications.

mod m20261121_000003_letters;
mod m20261121_000021_mails;
mod m20261127_000043_typed;

use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared::contracts::ServiceName;

use crate::{
    awaiting::Awaiting,
    facts::PlatformFacts,
    messaging::Messaging,
    operation::Operation,
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
            Box::new(m20261121_000003_letters::Letters),
            Box::new(Operation),
            Box::new(m20261121_000021_mails::Mails),
            Box::new(m20261127_000043_typed::Typed),
            Box::new(PlatformFacts(ServiceName::Notifications)),
            Box::new(Awaiting),
            Box::new(UserZones),
        ]
    }
}

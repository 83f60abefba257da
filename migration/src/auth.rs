//! The database of auth.

mod m20261121_000002_accounts;
mod m20261121_000030_sessions;
mod m20261121_000031_roles;
mod m20261121_000032_mail;
mod m20261121_000033_clients;
mod m20261121_000034_key_rotation;
mod m20261201_000075_withdrawals;

use sea_orm_migration::{MigrationTrait, MigratorTrait};
use shared::contracts::ServiceName;

use self::{
    m20261121_000002_accounts::Accounts, m20261121_000030_sessions::Sessions, m20261121_000031_roles::Roles,
    m20261121_000032_mail::Mail, m20261121_000033_clients::Clients,
    m20261121_000034_key_rotation::KeyRotation, m20261201_000075_withdrawals::Withdrawals,
};
use crate::{
    awaiting::Awaiting, facts::PlatformFacts, messaging::Messaging, operation::Operation, users::UserZones,
};

/// Its migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Messaging),
            Box::new(Accounts),
            Box::new(Operation),
            Box::new(Sessions),
            Box::new(Roles),
            Box::new(Mail),
            Box::new(Clients),
            Box::new(KeyRotation),
            Box::new(UserZones),
            Box::new(Withdrawals),
            Box::new(PlatformFacts(ServiceName::Auth)),
            Box::new(Awaiting),
        ]
    }
}

//! The database of auth.

mod m20261121_000002_accounts;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

use self::m20261121_000002_accounts::Accounts;
use crate::{messaging::Messaging, operation::Operation};

/// Its migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Messaging), Box::new(Accounts), Box::new(Operation)]
    }
}

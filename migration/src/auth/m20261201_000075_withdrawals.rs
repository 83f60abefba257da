//! Permissions that were withdrawn from a role, while sessions that carry them are left to end.

use sea_orm_migration::{prelude::*, schema};

/// `withdrawals`.
pub(crate) struct Withdrawals;

impl MigrationName for Withdrawals {
    fn name(&self) -> &'static str {
        "m20261201_000075_withdrawals"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Withdrawals {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let withdrawals = Table::create()
            .table("withdrawals")
            .col(schema::pk_uuid("id"))
            .col(schema::text("role"))
            .col(schema::text("permissions"))
            .col(schema::timestamp_with_time_zone("withdrawn_at"))
            .col(schema::uuid("done_to"))
            .to_owned();
        manager.create_table(withdrawals).await
    }
}

//! What buyers expect to be charged.

use sea_orm_migration::prelude::*;

/// A purchase may have a price that its buyer expects.
pub(crate) struct ExpectedPrices;

impl MigrationName for ExpectedPrices {
    fn name(&self) -> &'static str {
        "m20261201_000050_expected_prices"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ExpectedPrices {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("ALTER TABLE purchases ADD COLUMN expected_price bigint")
            .await?;
        Ok(())
    }
}

//! Redemptions for which no use was taken although the promocode is good.

use sea_orm_migration::prelude::*;

/// Why no use was taken at the price.
pub(super) struct NotHeld;

impl MigrationName for NotHeld {
    fn name(&self) -> &'static str {
        "m20261201_000051_not_held"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for NotHeld {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("ALTER TABLE redemptions ADD COLUMN not_held text")
            .await?;
        Ok(())
    }
}

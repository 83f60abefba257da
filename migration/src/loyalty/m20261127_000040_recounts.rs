//! Which of a campaign's counts began when uses were taken already.

use sea_orm_migration::prelude::*;

/// The versions of campaigns in which a limit was added last.
pub(super) struct Recounts;

impl MigrationName for Recounts {
    fn name(&self) -> &'static str {
        "m20261127_000040_recounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Recounts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Until now each use was marked when a limit was added, so that there is nothing to fill in.
        for column in ["total_recounted_in", "users_recounted_in"] {
            manager
                .get_connection()
                .execute_unprepared(&format!("ALTER TABLE campaigns ADD COLUMN {column} bigint"))
                .await?;
        }
        Ok(())
    }
}

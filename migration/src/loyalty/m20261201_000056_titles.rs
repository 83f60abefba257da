//! What customers call campaigns.

use sea_orm_migration::prelude::*;

/// A title for customers, in every language, as JSON; most campaigns have none.
pub(super) struct Titles;

impl MigrationName for Titles {
    fn name(&self) -> &'static str {
        "m20261201_000056_titles"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Titles {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("ALTER TABLE campaigns ADD COLUMN title text")
            .await
            .map(drop)
    }
}

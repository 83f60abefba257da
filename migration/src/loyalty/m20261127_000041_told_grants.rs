//! How far the users of a group have been told of what was granted to it.

use sea_orm_migration::{prelude::*, schema};

/// Two more columns of grants.
pub(super) struct ToldGrants;

impl MigrationName for ToldGrants {
    fn name(&self) -> &'static str {
        "m20261127_000041_told_grants"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ToldGrants {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of grants that are there already everybody has been told.
        for column in [
            schema::timestamp_with_time_zone_null("tells_until"),
            schema::uuid_null("told_to"),
        ] {
            manager
                .alter_table(Table::alter().table("grants").add_column(column).to_owned())
                .await?;
        }
        manager
            .get_connection()
            .execute_unprepared("CREATE INDEX grants_to_tell ON grants (id) WHERE tells_until IS NOT NULL")
            .await?;
        Ok(())
    }
}

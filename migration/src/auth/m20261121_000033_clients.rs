//! Programs that call by themselves.

use sea_orm_migration::{prelude::*, schema};

/// `clients`.
pub(crate) struct Clients;

impl MigrationName for Clients {
    fn name(&self) -> &'static str {
        "m20261121_000033_clients"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Clients {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("clients")
            .col(schema::pk_uuid("id"))
            .col(schema::text_uniq("name"))
            .col(schema::text("secret_hash"))
            .col(schema::text("permissions"))
            .col(schema::timestamp_with_time_zone("created_at"))
            .col(schema::timestamp_with_time_zone_null("disabled_at"))
            .to_owned();
        manager.create_table(table).await
    }
}

//! What is counted so that guessing is slow. Auth has had the same table from its sessions on.

use sea_orm_migration::{prelude::*, schema};

/// The table of counts.
pub(crate) struct Throttles;

impl MigrationName for Throttles {
    fn name(&self) -> &'static str {
        "m20261201_000065_throttles"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Throttles {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("throttles")
            .col(schema::text("key").primary_key())
            .col(schema::text_null("account"))
            .col(schema::timestamp_with_time_zone("began_at"))
            .col(schema::big_integer("count"))
            .to_owned();
        manager.create_table(table).await?;
        for column in ["account", "began_at"] {
            let mut index = Index::create();
            index
                .name(format!("throttles_{column}"))
                .table("throttles")
                .col(column);
            manager.create_index(index.to_owned()).await?;
        }
        Ok(())
    }
}

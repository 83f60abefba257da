//! The tables under every service's messages.

use sea_orm_migration::{prelude::*, schema};

/// The outbox and the inbox.
pub(crate) struct Messaging;

impl MigrationName for Messaging {
    fn name(&self) -> &'static str {
        "m20261121_000001_messaging"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Messaging {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("outbox")
                    .col(schema::pk_uuid("id"))
                    .col(schema::text("body"))
                    .col(schema::timestamp_with_time_zone("created_at"))
                    .col(schema::timestamp_with_time_zone("leased_until"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("outbox_leased_until")
                    .table("outbox")
                    .col("leased_until")
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("inbox")
                    .col(schema::pk_uuid("id"))
                    .col(schema::text("status"))
                    .col(schema::timestamp_with_time_zone("received_at"))
                    .col(schema::integer("attempts"))
                    .col(schema::timestamp_with_time_zone_null("next_attempt_at"))
                    .col(schema::text_null("error"))
                    .col(schema::text_null("body"))
                    .to_owned(),
            )
            .await?;
        // Nearly all rows are `done` and have no next attempt: these two stay small.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX inbox_next_attempt_at ON inbox (next_attempt_at) WHERE status = 'retry'",
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared("CREATE INDEX inbox_parked ON inbox (received_at) WHERE status = 'parked'")
            .await?;
        Ok(())
    }
}

//! Subscriptions are cancelled, and reminded of before they end.

use sea_orm_migration::{prelude::*, schema};

use super::m20261121_000030_refunds::add_columns;

/// Whether a subscription was cancelled, and when its end was announced.
pub(crate) struct Subscriptions;

impl MigrationName for Subscriptions {
    fn name(&self) -> &'static str {
        "m20261121_000031_subscriptions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Subscriptions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_columns(
            manager,
            "subscriptions",
            vec![
                schema::timestamp_with_time_zone_null("cancelled_at"),
                schema::timestamp_with_time_zone_null("ending_said_at"),
            ],
        )
        .await?;
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX subscriptions_ending ON subscriptions (ends_at) WHERE ending_said_at IS NULL",
            )
            .await?;
        Ok(())
    }
}

//! A refund remembers which subscriptions it has moved, so that it can be published again as it was.

use sea_orm_migration::{prelude::*, schema};

use super::m20261121_000030_refunds::add_columns;

/// The subscriptions that a refund has moved, as JSON.
pub(crate) struct MovedSubscriptions;

impl MigrationName for MovedSubscriptions {
    fn name(&self) -> &'static str {
        "m20261201_000072_moved_subscriptions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for MovedSubscriptions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_columns(manager, "purchases", vec![schema::text_null("refund_moved")]).await
    }
}

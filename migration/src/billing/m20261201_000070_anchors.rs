//! Subscriptions keep from what their end is counted.
//!
//! The columns stay empty of what was sold before, and of what an older replica sells meanwhile: its
//! start and its end tell the same (`billing/src/domain/subscription.rs`).

use sea_orm_migration::{prelude::*, schema};

use super::m20261121_000030_refunds::add_columns;

/// The anchor of a subscription's chain, its zone, and how far from the anchor it ends.
pub(crate) struct Anchors;

impl MigrationName for Anchors {
    fn name(&self) -> &'static str {
        "m20261201_000070_anchors"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Anchors {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_columns(
            manager,
            "subscriptions",
            vec![
                schema::timestamp_with_time_zone_null("anchor_at"),
                schema::text_null("anchor_zone"),
                schema::big_integer_null("anchor_months"),
                schema::big_integer_null("anchor_days"),
            ],
        )
        .await
    }
}

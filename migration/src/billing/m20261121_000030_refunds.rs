//! Paid purchases can be given back.

use sea_orm_migration::{prelude::*, schema};

/// When, why and with what left in the wallet a purchase was refunded.
pub(crate) struct Refunds;

impl MigrationName for Refunds {
    fn name(&self) -> &'static str {
        "m20261121_000030_refunds"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Refunds {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let balance = schema::big_integer_null("refund_balance_after")
            .check(Expr::cust(
                "refund_balance_after IS NULL OR refund_balance_after >= 0",
            ))
            .to_owned();
        add_columns(
            manager,
            "purchases",
            vec![
                schema::timestamp_with_time_zone_null("refunded_at"),
                schema::text_null("refund_reason"),
                balance,
            ],
        )
        .await
    }
}

/// Adds columns one by one, since SQLite takes no two at once.
pub(super) async fn add_columns(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: Vec<ColumnDef>,
) -> Result<(), DbErr> {
    for column in columns {
        manager
            .alter_table(Table::alter().table(table).add_column(column).to_owned())
            .await?;
    }
    Ok(())
}

//! What is sold, who bought it, and what it gave them.
//!
//! Purchases name their tariff without a foreign key, which would lock the tariff's row in
//! every purchase of it; tariffs are never deleted.

use sea_orm_migration::{prelude::*, schema};

use super::m20261121_000010_ledger::index;

/// Tariffs, purchases, subscriptions.
pub(crate) struct Purchases;

impl MigrationName for Purchases {
    fn name(&self) -> &'static str {
        "m20261121_000011_purchases"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Purchases {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(tariffs()).await?;
        manager
            .create_index(index("tariffs_newest", "tariffs", &["created_at", "id"]))
            .await?;
        manager.create_table(purchases()).await?;
        manager
            .create_index(index(
                "purchases_of_user",
                "purchases",
                &["user_id", "requested_at", "id"],
            ))
            .await?;
        manager
            .create_index(index("purchases_settled_at", "purchases", &["settled_at"]))
            .await?;
        // Nearly all purchases have ended: this one stays small.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX purchases_deadline ON purchases (deadline) WHERE state = 'pending'",
            )
            .await?;
        manager.create_table(subscriptions()).await?;
        manager
            .create_index(index(
                "subscriptions_of_user",
                "subscriptions",
                &["user_id", "starts_at", "id"],
            ))
            .await?;
        manager
            .create_index(index(
                "subscriptions_end",
                "subscriptions",
                &["user_id", "tariff_id", "ends_at"],
            ))
            .await
    }
}

fn tariffs() -> TableCreateStatement {
    Table::create()
        .table("tariffs")
        .col(schema::pk_uuid("id"))
        .col(schema::big_integer("version"))
        .col(schema::text("name"))
        .col(schema::big_integer("price"))
        .col(schema::text("period"))
        .col(schema::text("status"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .check(Expr::cust(
            "version > 0 AND price >= 0 AND status IN ('active', 'archived')",
        ))
        .to_owned()
}

fn purchases() -> TableCreateStatement {
    Table::create()
        .table("purchases")
        .col(schema::pk_uuid("id"))
        .col(schema::big_integer("version"))
        .col(schema::uuid("user_id"))
        .col(schema::uuid("tariff_id"))
        .col(schema::big_integer("tariff_version"))
        .col(schema::text("tariff_name"))
        .col(schema::big_integer("list_price"))
        .col(schema::big_integer("discount"))
        .col(schema::big_integer_null("charged"))
        .col(schema::text("period"))
        .col(schema::text_null("promocode"))
        .col(schema::text("state"))
        .col(schema::text_null("failure_reason"))
        .col(schema::text_null("refusal_reasons"))
        .col(schema::timestamp_with_time_zone("requested_at"))
        .col(schema::timestamp_with_time_zone("deadline"))
        .col(schema::timestamp_with_time_zone_null("settled_at"))
        .col(schema::big_integer_null("balance_after"))
        .check(Expr::cust(
            "version > 0 AND list_price >= 0 AND discount >= 0 AND discount <= list_price",
        ))
        .check(Expr::cust(
            "state IN ('pending', 'paid', 'failed', 'refunded') \
             AND (state = 'failed') = (failure_reason IS NOT NULL) \
             AND (state = 'pending') = (settled_at IS NULL) \
             AND (state = 'pending') = (balance_after IS NULL)",
        ))
        .check(Expr::cust(
            "(state IN ('paid', 'refunded')) = (charged IS NOT NULL) \
             AND (charged IS NULL OR charged = list_price - discount)",
        ))
        .check(Expr::cust("balance_after IS NULL OR balance_after >= 0"))
        .to_owned()
}

fn subscriptions() -> TableCreateStatement {
    Table::create()
        .table("subscriptions")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("purchase_id").unique_key())
        .col(schema::uuid("user_id"))
        .col(schema::uuid("tariff_id"))
        .col(schema::timestamp_with_time_zone("starts_at"))
        .col(schema::timestamp_with_time_zone("ends_at"))
        .foreign_key(
            ForeignKey::create()
                .from("subscriptions", "purchase_id")
                .to("purchases", "id"),
        )
        .to_owned()
}

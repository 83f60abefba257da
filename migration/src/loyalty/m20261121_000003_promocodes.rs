//! Campaigns, promocodes, and what became of them; the replica of tariffs.

use sea_orm_migration::{prelude::*, schema};

/// The first tables of loyalty.
pub(super) struct Promocodes;

impl MigrationName for Promocodes {
    fn name(&self) -> &'static str {
        "m20261121_000003_promocodes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Promocodes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            campaigns(),
            campaign_versions(),
            promocodes(),
            counters(),
            returned_uses(),
            redemptions(),
            refusals(),
            tariffs(),
        ] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // Few redemptions are held at any time: this one stays small.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX redemptions_next_report_at ON redemptions (next_report_at) WHERE status = 'held'",
            )
            .await?;
        Ok(())
    }
}

/// The current terms of each campaign.
fn campaigns() -> TableCreateStatement {
    Table::create()
        .table("campaigns")
        .col(schema::pk_uuid("id"))
        .col(schema::big_integer("version"))
        .col(schema::text("status"))
        .col(schema::text("name"))
        .col(schema::text("discount"))
        .col(schema::timestamp_with_time_zone_null("starts_at"))
        .col(schema::timestamp_with_time_zone_null("ends_at"))
        .col(schema::text_null("timezone"))
        .col(schema::big_integer_null("max_redemptions"))
        .col(schema::big_integer_null("max_per_user"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .check(Expr::cust("version >= 1"))
        .check(Expr::cust("status IN ('active', 'paused', 'archived')"))
        .check(Expr::cust("max_redemptions IS NULL OR max_redemptions >= 1"))
        .check(Expr::cust("max_per_user IS NULL OR max_per_user >= 1"))
        .to_owned()
}

/// All terms that a campaign ever had: rows are added, never changed.
fn campaign_versions() -> TableCreateStatement {
    Table::create()
        .table("campaign_versions")
        .col(schema::uuid("campaign_id"))
        .col(schema::big_integer("version"))
        .col(schema::text("terms"))
        .col(schema::uuid("changed_by"))
        .col(schema::timestamp_with_time_zone("changed_at"))
        .primary_key(Index::create().col("campaign_id").col("version"))
        .foreign_key(
            ForeignKey::create()
                .from("campaign_versions", "campaign_id")
                .to("campaigns", "id"),
        )
        .to_owned()
}

fn promocodes() -> TableCreateStatement {
    Table::create()
        .table("promocodes")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("campaign_id"))
        .col(schema::text_uniq("code"))
        .col(schema::big_integer_null("max_uses"))
        .col(schema::boolean("disabled"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .foreign_key(
            ForeignKey::create()
                .from("promocodes", "campaign_id")
                .to("campaigns", "id"),
        )
        .check(Expr::cust("max_uses IS NULL OR max_uses >= 1"))
        .to_owned()
}

/// Uses that are taken, where there is a limit. `user_id` is nil where all users count together.
fn counters() -> TableCreateStatement {
    Table::create()
        .table("counters")
        .col(schema::text("scope"))
        .col(schema::uuid("scope_id"))
        .col(schema::uuid("user_id"))
        .col(schema::big_integer("used"))
        .col(schema::big_integer_null("max_uses"))
        .primary_key(Index::create().col("scope").col("scope_id").col("user_id"))
        .check(Expr::cust("scope IN ('campaign', 'promocode', 'user')"))
        .check(Expr::cust("used >= 0"))
        .check(Expr::cust("max_uses IS NULL OR used <= max_uses"))
        .to_owned()
}

/// Uses that were given back and are still to be taken off their counters.
fn returned_uses() -> TableCreateStatement {
    Table::create()
        .table("returned_uses")
        .col(schema::uuid("purchase_id"))
        .col(schema::text("scope"))
        .col(schema::uuid("scope_id"))
        .col(schema::uuid("user_id"))
        .primary_key(Index::create().col("purchase_id").col("scope"))
        .check(Expr::cust("scope IN ('campaign', 'promocode', 'user')"))
        .to_owned()
}

/// One row a purchase. No foreign keys: on PostgreSQL each would lock the promocode's row at
/// every purchase, and none of these rows is ever deleted.
fn redemptions() -> TableCreateStatement {
    Table::create()
        .table("redemptions")
        .col(schema::pk_uuid("purchase_id"))
        .col(schema::text("status"))
        .col(schema::uuid("user_id"))
        .col(schema::uuid("tariff_id"))
        .col(schema::text_null("promocode"))
        .col(schema::uuid_null("promocode_id"))
        .col(schema::uuid_null("campaign_id"))
        .col(schema::big_integer_null("campaign_version"))
        .col(schema::big_integer_null("list_price"))
        .col(schema::big_integer_null("discount"))
        .col(schema::big_integer_null("final_price"))
        .col(schema::big_integer("purchase_version"))
        .col(schema::boolean("counted_campaign"))
        .col(schema::boolean("counted_promocode"))
        .col(schema::boolean("counted_user"))
        .col(schema::timestamp_with_time_zone_null("requested_at"))
        .col(schema::timestamp_with_time_zone_null("next_report_at"))
        .col(schema::integer("reports"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .col(schema::timestamp_with_time_zone("updated_at"))
        .check(Expr::cust(
            "status IN ('held', 'confirmed', 'cancelled', 'returned', 'refused')",
        ))
        .check(Expr::cust(
            "status IN ('cancelled', 'refused') OR (promocode_id IS NOT NULL AND campaign_id IS NOT NULL \
             AND campaign_version IS NOT NULL AND final_price IS NOT NULL)",
        ))
        .check(Expr::cust(
            "final_price IS NULL OR (final_price >= 0 AND discount >= 0)",
        ))
        .check(Expr::cust(
            "final_price IS NULL OR list_price = discount + final_price",
        ))
        .check(Expr::cust("(status = 'held') = (next_report_at IS NOT NULL)"))
        .to_owned()
}

/// Every "no", with all reasons. `purchase_id` is absent where it was a dry run.
fn refusals() -> TableCreateStatement {
    Table::create()
        .table("refusals")
        .col(schema::pk_uuid("id"))
        .col(ColumnDef::new("purchase_id").uuid().null().unique_key())
        .col(schema::uuid("user_id"))
        .col(schema::uuid("tariff_id"))
        .col(schema::text("promocode"))
        .col(schema::uuid_null("promocode_id"))
        .col(schema::uuid_null("campaign_id"))
        .col(schema::text("reasons"))
        .col(schema::timestamp_with_time_zone("refused_at"))
        .to_owned()
}

/// Billing's tariffs as its events describe them.
fn tariffs() -> TableCreateStatement {
    Table::create()
        .table("tariffs")
        .col(schema::pk_uuid("id"))
        .col(schema::big_integer("version"))
        .col(schema::text("name"))
        .col(schema::big_integer("price"))
        .col(schema::text("period"))
        .col(schema::text("status"))
        .check(Expr::cust("price >= 0"))
        .to_owned()
}

fn indexes() -> [IndexCreateStatement; 8] {
    let index = |name: &'static str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create();
        index.name(name).table(table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    [
        index("campaigns_created_at", "campaigns", &["created_at", "id"]),
        index(
            "promocodes_of_campaign",
            "promocodes",
            &["campaign_id", "created_at", "id"],
        ),
        index(
            "returned_uses_of_counter",
            "returned_uses",
            &["scope", "scope_id", "user_id"],
        ),
        index(
            "redemptions_of_user",
            "redemptions",
            &["user_id", "created_at", "purchase_id"],
        ),
        index(
            "redemptions_of_campaign",
            "redemptions",
            &["campaign_id", "created_at", "purchase_id"],
        ),
        index("refusals_refused_at", "refusals", &["refused_at", "id"]),
        index("refusals_of_user", "refusals", &["user_id", "refused_at", "id"]),
        index(
            "refusals_of_campaign",
            "refusals",
            &["campaign_id", "refused_at", "id"],
        ),
    ]
}

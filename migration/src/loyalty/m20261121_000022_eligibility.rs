//! For whom campaigns are: eligibility, groups, grants; who has bought; and what becomes of uses
//! after a refund.

use sea_orm_migration::{prelude::*, schema};

/// More of campaigns, promocodes, redemptions and refusals; groups, grants and purchasers.
pub(super) struct Eligibility;

impl MigrationName for Eligibility {
    fn name(&self) -> &'static str {
        "m20261121_000022_eligibility"
    }
}

/// A column a statement, since SQLite adds no more at once. What was there before was for
/// everybody, and its uses came back.
const COLUMNS: &[&str] = &[
    "ALTER TABLE campaigns ADD COLUMN eligibility text NOT NULL DEFAULT '{}'",
    "ALTER TABLE campaigns ADD COLUMN requires_grant boolean NOT NULL DEFAULT false",
    "ALTER TABLE campaigns ADD COLUMN listed boolean NOT NULL DEFAULT false",
    "ALTER TABLE campaigns ADD COLUMN refund_policy text NOT NULL DEFAULT 'return_use' \
     CHECK (refund_policy IN ('return_use', 'keep_use'))",
    "ALTER TABLE promocodes ADD COLUMN version bigint NOT NULL DEFAULT 1",
    "ALTER TABLE redemptions ADD COLUMN first_purchase_only boolean NOT NULL DEFAULT false",
    "ALTER TABLE redemptions ADD COLUMN returns_use boolean NOT NULL DEFAULT true",
    "ALTER TABLE refusals ADD COLUMN code text",
    "UPDATE refusals SET code = UPPER(TRIM(promocode))",
];

#[async_trait::async_trait]
impl MigrationTrait for Eligibility {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in COLUMNS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        for table in [purchasers(), groups(), group_members(), grants()] {
            manager.create_table(table).await?;
        }
        manager
            .get_connection()
            .execute_unprepared(
                "INSERT INTO purchasers (user_id, heard_at) SELECT user_id, MIN(updated_at) FROM redemptions \
                 WHERE status IN ('confirmed', 'returned') GROUP BY user_id",
            )
            .await?;
        for (name, table, columns) in [
            ("refusals_of_code", "refusals", &["code", "refused_at", "id"][..]),
            ("promocodes_created_at", "promocodes", &["created_at", "id"][..]),
            ("groups_created_at", "groups", &["created_at", "id"][..]),
            (
                "group_members_added_at",
                "group_members",
                &["group_id", "added_at", "user_id"][..],
            ),
            ("group_members_of_user", "group_members", &["user_id"][..]),
            ("grants_granted_at", "grants", &["granted_at", "id"][..]),
            ("grants_of_user", "grants", &["user_id"][..]),
            ("grants_of_group", "grants", &["group_id"][..]),
        ] {
            let mut index = Index::create();
            index.name(name).table(table);
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index.to_owned()).await?;
        }
        Ok(())
    }
}

/// Users who have paid for something, as billing's events say; rows are added, never changed.
fn purchasers() -> TableCreateStatement {
    Table::create()
        .table("purchasers")
        .col(schema::pk_uuid("user_id"))
        .col(schema::timestamp_with_time_zone("heard_at"))
        .to_owned()
}

/// Sets of users.
fn groups() -> TableCreateStatement {
    Table::create()
        .table("groups")
        .col(schema::pk_uuid("id"))
        .col(schema::text("name"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .to_owned()
}

fn group_members() -> TableCreateStatement {
    Table::create()
        .table("group_members")
        .col(schema::uuid("group_id"))
        .col(schema::uuid("user_id"))
        .col(schema::timestamp_with_time_zone("added_at"))
        .primary_key(Index::create().col("group_id").col("user_id"))
        .foreign_key(
            ForeignKey::create()
                .from("group_members", "group_id")
                .to("groups", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

/// Promocodes made available, each to a user or to a group.
fn grants() -> TableCreateStatement {
    Table::create()
        .table("grants")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("promocode_id"))
        .col(schema::uuid_null("user_id"))
        .col(schema::uuid_null("group_id"))
        .col(schema::uuid("granted_by"))
        .col(schema::timestamp_with_time_zone("granted_at"))
        .foreign_key(
            ForeignKey::create()
                .from("grants", "promocode_id")
                .to("promocodes", "id"),
        )
        .foreign_key(
            ForeignKey::create()
                .from("grants", "group_id")
                .to("groups", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        // Neither database takes two unknowns for the same.
        .index(
            Index::create()
                .name("grants_to_user")
                .unique()
                .col("promocode_id")
                .col("user_id"),
        )
        .index(
            Index::create()
                .name("grants_to_group")
                .unique()
                .col("promocode_id")
                .col("group_id"),
        )
        .check(Expr::cust("(user_id IS NULL) <> (group_id IS NULL)"))
        .to_owned()
}

//! The inbox.

use sea_orm_migration::{prelude::*, schema};

/// Letters to users.
pub(super) struct Letters;

impl MigrationName for Letters {
    fn name(&self) -> &'static str {
        "m20261121_000003_letters"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Letters {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("letters")
                    .col(schema::pk_uuid("id"))
                    // No foreign key: a letter may come before its reader is known here.
                    .col(schema::uuid("user_id"))
                    .col(schema::text("kind"))
                    .col(schema::text("about"))
                    .col(schema::text("subject"))
                    .col(schema::text("body"))
                    .col(schema::text("data"))
                    .col(schema::timestamp_with_time_zone("occurred_at"))
                    .col(schema::timestamp_with_time_zone("created_at"))
                    .col(schema::timestamp_with_time_zone_null("read_at"))
                    .check(Expr::col("about").ne(""))
                    .check(Expr::col("subject").ne(""))
                    .check(Expr::col("body").ne(""))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("letters_about")
                    .table("letters")
                    .col("about")
                    .unique()
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("letters_user_id_occurred_at")
                    .table("letters")
                    .col("user_id")
                    .col(("occurred_at", IndexOrder::Desc))
                    .col(("id", IndexOrder::Desc))
                    .to_owned(),
            )
            .await?;
        // Counts and lists what is unread, which stays little where nearly all is read.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX letters_unread ON letters (user_id, occurred_at DESC, id DESC) WHERE read_at IS NULL",
            )
            .await?;
        Ok(())
    }
}

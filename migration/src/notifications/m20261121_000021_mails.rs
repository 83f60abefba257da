//! What is to be mailed, and what users prefer not to be.

use sea_orm_migration::{prelude::*, schema};

/// Mails and preferences. Nobody's address is kept.
pub(super) struct Mails;

impl MigrationName for Mails {
    fn name(&self) -> &'static str {
        "m20261121_000021_mails"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Mails {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("mails")
                    .col(schema::pk_uuid("id"))
                    .col(schema::uuid("user_id"))
                    // A letter, or a mail with a secret link that auth knows under this id.
                    .col(schema::uuid_null("letter_id"))
                    .col(schema::uuid_null("mail_request_id"))
                    .col(schema::text("status"))
                    .col(schema::integer("attempts"))
                    .col(schema::timestamp_with_time_zone_null("next_attempt_at"))
                    .col(schema::timestamp_with_time_zone("created_at"))
                    .col(schema::timestamp_with_time_zone_null("expires_at"))
                    .col(schema::timestamp_with_time_zone_null("finished_at"))
                    .col(schema::text_null("error"))
                    .check(
                        Expr::col("letter_id")
                            .is_null()
                            .ne(Expr::col("mail_request_id").is_null()),
                    )
                    .check(Expr::col("attempts").gte(0))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("mails_letter_id")
                    .table("mails")
                    .col("letter_id")
                    .col("id")
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("mails_mail_request_id")
                    .table("mails")
                    .col("mail_request_id")
                    .unique()
                    .to_owned(),
            )
            .await?;
        for (name, columns) in [
            ("mails_due", &["status", "next_attempt_at"][..]),
            ("mails_user_id", &["user_id"][..]),
        ] {
            let mut index = Index::create();
            index.name(name).table("mails");
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index.to_owned()).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("unmailed")
                    .col(schema::uuid("user_id"))
                    .col(schema::text("kind"))
                    .primary_key(Index::create().col("user_id").col("kind"))
                    .to_owned(),
            )
            .await?;
        Ok(())
    }
}

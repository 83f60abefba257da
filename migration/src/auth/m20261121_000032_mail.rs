//! Letters with a secret in them, and whether an address was shown to be its owner's.

use sea_orm_migration::{prelude::*, schema};

/// `mail_requests`, `secret_keys`, and `users.email_confirmed`.
pub(crate) struct Mail;

impl MigrationName for Mail {
    fn name(&self) -> &'static str {
        "m20261121_000032_mail"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Mail {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let confirmed = Table::alter()
            .table("users")
            .add_column(schema::boolean("email_confirmed").default(false))
            .to_owned();
        manager.alter_table(confirmed).await?;
        let requests = Table::create()
            .table("mail_requests")
            .col(schema::pk_uuid("id"))
            .col(schema::uuid("user_id"))
            .col(schema::text("purpose"))
            .col(schema::timestamp_with_time_zone("requested_at"))
            .col(schema::timestamp_with_time_zone("expires_at"))
            .col(schema::timestamp_with_time_zone_null("used_at"))
            .foreign_key(
                ForeignKey::create()
                    .from("mail_requests", "user_id")
                    .to("users", "id")
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(requests).await?;
        for column in ["user_id", "expires_at"] {
            let index = Index::create()
                .name(format!("mail_requests_{column}"))
                .table("mail_requests")
                .col(column)
                .to_owned();
            manager.create_index(index).await?;
        }
        let keys = Table::create()
            .table("secret_keys")
            .col(schema::text("name").primary_key())
            .col(schema::blob("key"))
            .col(schema::timestamp_with_time_zone("created_at"))
            .to_owned();
        manager.create_table(keys).await
    }
}

//! How logins go on and end: refresh tokens, the history of logins, and who has to wait.

use sea_orm_migration::{prelude::*, schema};

/// `refresh_tokens`, `logins` and `throttles`, and what a session knows of its use and its end.
pub(crate) struct Sessions;

impl MigrationName for Sessions {
    fn name(&self) -> &'static str {
        "m20261121_000030_sessions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Sessions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One at a time: SQLite takes no more.
        for column in ["last_used_at", "expires_at", "ended_at"] {
            let alter = Table::alter()
                .table("sessions")
                .add_column(schema::timestamp_with_time_zone_null(column))
                .to_owned();
            manager.alter_table(alter).await?;
        }
        refresh_tokens(manager).await?;
        logins(manager).await?;
        throttles(manager).await
    }
}

async fn refresh_tokens(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("refresh_tokens")
        .col(schema::text("hash").primary_key())
        .col(schema::uuid("session_id"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .col(schema::timestamp_with_time_zone("expires_at"))
        .col(schema::timestamp_with_time_zone_null("used_at"))
        .col(schema::boolean("superseded"))
        .col(schema::boolean("retried"))
        .foreign_key(
            ForeignKey::create()
                .from("refresh_tokens", "session_id")
                .to("sessions", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned();
    manager.create_table(table).await?;
    index(manager, "refresh_tokens", &["session_id"]).await?;
    index(manager, "refresh_tokens", &["expires_at"]).await
}

async fn logins(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("logins")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("user_id"))
        .col(schema::timestamp_with_time_zone("at"))
        .col(schema::text("outcome"))
        .col(schema::text_null("user_agent"))
        .col(schema::text_null("address"))
        .foreign_key(
            ForeignKey::create()
                .from("logins", "user_id")
                .to("users", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned();
    manager.create_table(table).await?;
    index(manager, "logins", &["user_id", "at", "id"]).await?;
    index(manager, "logins", &["at"]).await
}

async fn throttles(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("throttles")
        .col(schema::text("key").primary_key())
        .col(schema::text_null("account"))
        .col(schema::timestamp_with_time_zone("began_at"))
        .col(schema::big_integer("count"))
        .to_owned();
    manager.create_table(table).await?;
    index(manager, "throttles", &["account"]).await?;
    index(manager, "throttles", &["began_at"]).await
}

async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut index = Index::create();
    index.name(format!("{table}_{}", columns[0])).table(table);
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index.to_owned()).await
}

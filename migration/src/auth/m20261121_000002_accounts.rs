//! Accounts, their roles and logins, and the keys that tokens are signed with.

use sea_orm_migration::{prelude::*, schema};

/// `users`, `user_roles`, `sessions` and `signing_keys`.
pub(crate) struct Accounts;

impl MigrationName for Accounts {
    fn name(&self) -> &'static str {
        "m20261121_000002_accounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Accounts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        users(manager).await?;
        user_roles(manager).await?;
        sessions(manager).await?;
        signing_keys(manager).await
    }
}

async fn users(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let statuses = Expr::col("status").is_in(["active", "blocked", "deleted"]);
    let table = Table::create()
        .table("users")
        .col(schema::pk_uuid("id"))
        .col(schema::text("email"))
        .col(schema::text_uniq("email_normal"))
        .col(schema::text("password_hash"))
        .col(schema::text("status").check(statuses))
        .col(schema::text("locale"))
        .col(schema::big_integer("version").check(Expr::col("version").gte(1)))
        .col(schema::timestamp_with_time_zone("registered_at"))
        .to_owned();
    manager.create_table(table).await?;
    let newest_first = Index::create()
        .name("users_registered_at")
        .table("users")
        .col("registered_at")
        .col("id")
        .to_owned();
    manager.create_index(newest_first).await
}

async fn user_roles(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("user_roles")
        .col(schema::uuid("user_id"))
        .col(schema::text("role"))
        .primary_key(Index::create().col("user_id").col("role"))
        .foreign_key(
            ForeignKey::create()
                .from("user_roles", "user_id")
                .to("users", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned();
    manager.create_table(table).await
}

async fn sessions(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("sessions")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("user_id"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .col(schema::text_null("user_agent"))
        .col(schema::text_null("address"))
        .foreign_key(
            ForeignKey::create()
                .from("sessions", "user_id")
                .to("users", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned();
    manager.create_table(table).await?;
    let of_a_user = Index::create()
        .name("sessions_user_id")
        .table("sessions")
        .col("user_id")
        .col("created_at")
        .to_owned();
    manager.create_index(of_a_user).await
}

async fn signing_keys(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("signing_keys")
        .col(schema::text("kid").primary_key())
        .col(schema::blob("pkcs8"))
        .col(schema::text("public_x"))
        .col(schema::timestamp_with_time_zone("created_at"))
        .col(schema::boolean("signs"))
        .col(schema::timestamp_with_time_zone_null("retired_at"))
        // A key that is not published must not sign.
        .check(Expr::col("signs").not().or(Expr::col("retired_at").is_null()))
        .to_owned();
    manager.create_table(table).await?;
    // However many replicas start at once, they sign with the same key.
    manager
        .get_connection()
        .execute_unprepared("CREATE UNIQUE INDEX signing_keys_one_signs ON signing_keys (signs) WHERE signs")
        .await?;
    Ok(())
}

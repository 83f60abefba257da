//! The replica of auth's users that the other services keep.

use sea_orm_migration::{prelude::*, schema};

/// The users as auth's events describe them.
pub(crate) struct Users;

impl MigrationName for Users {
    fn name(&self) -> &'static str {
        "m20261121_000002_users"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Users {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("users")
                    .col(schema::pk_uuid("id"))
                    .col(schema::big_integer("version"))
                    .col(schema::text("status"))
                    .col(schema::text("locale"))
                    .col(schema::timestamp_with_time_zone("registered_at"))
                    .to_owned(),
            )
            .await
    }
}

/// The time zone of each, where they have one.
pub(crate) struct UserZones;

impl MigrationName for UserZones {
    fn name(&self) -> &'static str {
        "m20261201_000071_user_zones"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for UserZones {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let zone = schema::text_null("time_zone");
        manager
            .alter_table(Table::alter().table("users").add_column(zone).to_owned())
            .await
    }
}

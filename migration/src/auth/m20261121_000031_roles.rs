//! Roles as data.

use sea_orm_migration::{prelude::*, schema};

/// `roles`, with those that there have always been.
pub(crate) struct Roles;

impl MigrationName for Roles {
    fn name(&self) -> &'static str {
        "m20261121_000031_roles"
    }
}

/// Id, name, what it is, and what it allows.
const SEEDED: [(&str, &str, &str, &str); 4] = [
    (
        "01938f00-0000-7000-8000-000000000001",
        "user",
        "A customer: their own things only",
        "[]",
    ),
    (
        "01938f00-0000-7000-8000-000000000002",
        "support",
        "Answers customers: sees everything of theirs, and sends letters again",
        r#"["users.read","campaigns.read","refusals.read","billing.read","letters.read","letters.resend"]"#,
    ),
    (
        "01938f00-0000-7000-8000-000000000003",
        "manager",
        "Makes the offers",
        r#"["users.read","campaigns.read","campaigns.write","refusals.read","tariffs.write","billing.read","letters.read"]"#,
    ),
    // What it allows is everything, whatever stands here.
    (
        "01938f00-0000-7000-8000-000000000004",
        "admin",
        "Everything",
        "[]",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Roles {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("roles")
            .col(schema::text("name").primary_key())
            .col(schema::uuid_uniq("id"))
            .col(schema::text("description"))
            .col(schema::text("permissions"))
            .to_owned();
        manager.create_table(table).await?;
        for (id, name, description, permissions) in SEEDED {
            let id = sea_orm_migration::sea_orm::prelude::Uuid::parse_str(id)
                .map_err(|error| DbErr::Custom(error.to_string()))?;
            let insert = Query::insert()
                .into_table("roles")
                .columns(["name", "id", "description", "permissions"])
                .values_panic([name.into(), id.into(), description.into(), permissions.into()])
                .to_owned();
            manager.execute(insert).await?;
        }
        let of_a_role = Index::create()
            .name("user_roles_role")
            .table("user_roles")
            .col("role")
            .to_owned();
        manager.create_index(of_a_role).await
    }
}

//! Messages stay in the outbox until every subscriber has acknowledged them.

use sea_orm_migration::{prelude::*, schema};

/// Of a message that is published: the set of services that have not acknowledged it.
///
/// An older program does not know the column: its rows are not published as long as they are there, and
/// what it finds left behind it publishes again, which every inbox recognises.
pub(crate) struct Awaiting;

impl MigrationName for Awaiting {
    fn name(&self) -> &'static str {
        "m20261201_000085_awaiting"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Awaiting {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(
                Table::alter()
                    .table("outbox")
                    .add_column(schema::integer_null("awaiting"))
                    .to_owned(),
            )
            .await
    }
}

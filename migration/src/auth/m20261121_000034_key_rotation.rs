//! Keys that follow one another.

use sea_orm_migration::{prelude::*, schema};

/// From when on a key signs, and until when it is published.
pub(crate) struct KeyRotation;

impl MigrationName for KeyRotation {
    fn name(&self) -> &'static str {
        "m20261121_000034_key_rotation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for KeyRotation {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["signs_from", "published_until"] {
            let alter = Table::alter()
                .table("signing_keys")
                .add_column(schema::timestamp_with_time_zone_null(column))
                .to_owned();
            manager.alter_table(alter).await?;
        }
        // What was "signs" says from now on which key was the first: that one is made by whichever
        // replica starts first, and the unique index sees to it that there is one.
        let conn = manager.get_connection();
        conn.execute_unprepared("ALTER TABLE signing_keys RENAME COLUMN signs TO is_first")
            .await?;
        conn.execute_unprepared("UPDATE signing_keys SET signs_from = created_at")
            .await?;
        Ok(())
    }
}

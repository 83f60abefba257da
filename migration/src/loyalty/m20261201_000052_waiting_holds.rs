//! Holds that wait for uses which others hold.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// The queue, and a mark on the counters that somebody waits for.
pub(super) struct WaitingHolds;

impl MigrationName for WaitingHolds {
    fn name(&self) -> &'static str {
        "m20261201_000052_waiting_holds"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for WaitingHolds {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let conn = manager.get_connection();
        let (position, uuid, instant) = match manager.get_database_backend() {
            DbBackend::Sqlite => (
                "integer PRIMARY KEY AUTOINCREMENT",
                "uuid_text",
                "timestamp_with_timezone_text",
            ),
            _ => ("bigserial PRIMARY KEY", "uuid", "timestamp with time zone"),
        };
        conn.execute_unprepared(&format!(
            "CREATE TABLE waiting_holds ( \
             position {position}, \
             purchase_id {uuid} NOT NULL UNIQUE, \
             campaign_id {uuid} NOT NULL, \
             promocode_id {uuid} NOT NULL, \
             user_id {uuid} NOT NULL, \
             campaign_version bigint NOT NULL, \
             for_campaign boolean NOT NULL, \
             for_promocode boolean NOT NULL, \
             for_user boolean NOT NULL, \
             command text NOT NULL, \
             traceparent text, \
             arrived_at {instant} NOT NULL, \
             gives_up_at {instant} NOT NULL, \
             CHECK (for_campaign OR for_promocode OR for_user))"
        ))
        .await?;
        for statement in [
            "CREATE INDEX waiting_holds_of_campaign ON waiting_holds (campaign_id, position)",
            "ALTER TABLE counters ADD COLUMN awaited boolean NOT NULL DEFAULT false",
        ] {
            conn.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

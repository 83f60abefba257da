//! What every service keeps beside its own: which logins have ended, and what administrators did.

use sea_orm_migration::{prelude::*, schema, sea_orm::DbBackend};

/// The table of ended sessions and the audit log.
pub(crate) struct Operation;

impl MigrationName for Operation {
    fn name(&self) -> &'static str {
        "m20261121_000020_operation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Operation {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("ended_sessions")
                    .col(schema::pk_uuid("id"))
                    .col(schema::timestamp_with_time_zone("recorded_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("audit")
                    .col(schema::pk_uuid("id"))
                    .col(schema::timestamp_with_time_zone("at"))
                    .col(schema::uuid_null("actor"))
                    .col(schema::text("action"))
                    .col(schema::uuid("subject"))
                    .col(schema::text("details"))
                    .col(schema::text_null("request_id"))
                    .to_owned(),
            )
            .await?;
        for (name, table, columns) in [
            (
                "ended_sessions_recorded_at",
                "ended_sessions",
                &["recorded_at"][..],
            ),
            ("audit_at", "audit", &["at", "id"][..]),
            ("audit_subject", "audit", &["subject", "at"][..]),
        ] {
            let mut index = Index::create();
            index.name(name).table(table);
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index.to_owned()).await?;
        }
        let only_append = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES_ONLY_APPENDS,
            _ => SQLITE_ONLY_APPENDS,
        };
        manager.get_connection().execute_unprepared(only_append).await?;
        Ok(())
    }
}

const POSTGRES_ONLY_APPENDS: &str = "
    CREATE FUNCTION audit_only_appends() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
    CREATE TRIGGER audit_only_appends BEFORE UPDATE OR DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_only_appends();";

const SQLITE_ONLY_APPENDS: &str = "
    CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;";

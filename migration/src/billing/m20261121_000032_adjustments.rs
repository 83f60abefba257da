//! Administrators put money into wallets and take it out.

use sea_orm_migration::{prelude::*, schema, sea_orm::DbBackend};

use super::m20261121_000010_ledger::index;

/// What administrators moved, and the account that it comes from and goes to.
pub(crate) struct Adjustments;

const KINDS: &str = "(kind = 'wallet' AND user_id IS NOT NULL AND balance IS NOT NULL AND balance >= 0) OR \
     (kind IN ('provider', 'revenue', 'payout', 'forfeiture', 'adjustment') AND user_id IS NULL AND balance IS NULL \
     AND moved_at IS NULL)";

impl MigrationName for Adjustments {
    fn name(&self) -> &'static str {
        "m20261121_000032_adjustments"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Adjustments {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let conn = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Sqlite {
            // SQLite changes no constraint of a table: the table is made anew.
            manager.create_table(accounts("new_accounts")).await?;
            for statement in [
                "INSERT INTO new_accounts (id, kind, name, user_id, balance, moved_at) \
                 SELECT id, kind, name, user_id, balance, moved_at FROM accounts",
                "DROP TABLE accounts",
                "ALTER TABLE new_accounts RENAME TO accounts",
            ] {
                conn.execute_unprepared(statement).await?;
            }
        } else {
            // The only check of that table, under the name that PostgreSQL gave it.
            conn.execute_unprepared(&format!(
                "ALTER TABLE accounts DROP CONSTRAINT accounts_check; \
                 ALTER TABLE accounts ADD CONSTRAINT accounts_check CHECK ({KINDS})"
            ))
            .await?;
        }
        manager.create_table(adjustments()).await?;
        manager
            .create_index(index(
                "adjustments_of_user",
                "adjustments",
                &["user_id", "made_at", "id"],
            ))
            .await
    }
}

/// As the ledger made it, with one more kind.
fn accounts(name: &'static str) -> TableCreateStatement {
    Table::create()
        .table(name)
        .col(schema::pk_uuid("id"))
        .col(schema::text("kind"))
        .col(schema::text_uniq("name"))
        .col(schema::uuid_null("user_id").unique_key())
        .col(schema::big_integer_null("balance"))
        .col(schema::timestamp_with_time_zone_null("moved_at"))
        .check(Expr::cust(KINDS))
        .to_owned()
}

fn adjustments() -> TableCreateStatement {
    Table::create()
        .table("adjustments")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("user_id"))
        .col(schema::uuid("made_by"))
        .col(schema::text("direction"))
        .col(schema::big_integer("amount"))
        .col(schema::text("reason"))
        .col(schema::big_integer("balance_after"))
        .col(schema::timestamp_with_time_zone("made_at"))
        .check(Expr::cust(
            "amount > 0 AND direction IN ('credit', 'debit') AND balance_after >= 0",
        ))
        .to_owned()
}

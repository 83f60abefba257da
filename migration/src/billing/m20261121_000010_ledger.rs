//! The double-entry ledger, and the requests that move money into and out of wallets.
//!
//! Transfers and postings name accounts without a foreign key: checking one would lock the row
//! of the platform's own account in every purchase. `kopeck reconcile` finds strangers instead.

use sea_orm_migration::{prelude::*, schema, sea_orm::DbBackend};

/// Accounts, transfers, postings, top-ups, withdrawals, idempotency keys.
pub(crate) struct Ledger;

impl MigrationName for Ledger {
    fn name(&self) -> &'static str {
        "m20261121_000010_ledger"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Ledger {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(accounts()).await?;
        manager.create_table(transfers()).await?;
        manager
            .create_index(unique(
                "transfers_cause",
                "transfers",
                &["cause_kind", "cause_id"],
            ))
            .await?;
        manager
            .create_index(index("transfers_of_user", "transfers", &["user_id", "at", "id"]))
            .await?;
        manager.create_table(postings()).await?;
        manager
            .create_index(index("postings_of_account", "postings", &["account_id"]))
            .await?;
        for table in ["transfers", "postings"] {
            make_immutable(manager, table).await?;
        }
        manager.create_table(top_ups()).await?;
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX top_ups_pending ON top_ups (next_ask_at) WHERE state = 'pending'",
            )
            .await?;
        manager.create_table(withdrawals()).await?;
        manager.create_table(idempotency_keys()).await
    }
}

fn accounts() -> TableCreateStatement {
    Table::create()
        .table("accounts")
        .col(schema::pk_uuid("id"))
        .col(schema::text("kind"))
        .col(schema::text_uniq("name"))
        .col(schema::uuid_null("user_id").unique_key())
        // Only wallets keep one; the platform's accounts would be a row that everybody updates.
        .col(schema::big_integer_null("balance"))
        // The last movement of a wallet, or refusal for what it holds; the next one is later.
        .col(schema::timestamp_with_time_zone_null("moved_at"))
        .check(Expr::cust(
            "(kind = 'wallet' AND user_id IS NOT NULL AND balance IS NOT NULL AND balance >= 0) OR \
             (kind IN ('provider', 'revenue', 'payout', 'forfeiture') AND user_id IS NULL AND balance IS NULL \
             AND moved_at IS NULL)",
        ))
        .to_owned()
}

fn transfers() -> TableCreateStatement {
    Table::create()
        .table("transfers")
        .col(schema::pk_uuid("id"))
        .col(schema::text("cause_kind"))
        .col(schema::uuid("cause_id"))
        .col(schema::uuid("source_id"))
        .col(schema::uuid("destination_id"))
        .col(schema::big_integer("amount"))
        .col(schema::uuid("user_id"))
        .col(schema::big_integer("balance_after"))
        .col(schema::timestamp_with_time_zone("at"))
        .check(Expr::cust(
            "amount > 0 AND balance_after >= 0 AND source_id <> destination_id",
        ))
        .to_owned()
}

fn postings() -> TableCreateStatement {
    Table::create()
        .table("postings")
        .col(schema::uuid("transfer_id"))
        .col(schema::uuid("account_id"))
        .col(schema::big_integer("amount"))
        .primary_key(Index::create().col("transfer_id").col("account_id"))
        .foreign_key(
            ForeignKey::create()
                .from("postings", "transfer_id")
                .to("transfers", "id"),
        )
        .check(Expr::cust("amount <> 0"))
        .to_owned()
}

fn top_ups() -> TableCreateStatement {
    Table::create()
        .table("top_ups")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("user_id"))
        .col(schema::text("provider"))
        .col(schema::big_integer("amount"))
        .col(schema::text("state"))
        .col(schema::text_null("decline_reason"))
        .col(schema::big_integer_null("balance_after"))
        .col(schema::timestamp_with_time_zone("requested_at"))
        .col(schema::timestamp_with_time_zone_null("settled_at"))
        .col(schema::integer("asks"))
        .col(schema::timestamp_with_time_zone_null("next_ask_at"))
        .col(schema::timestamp_with_time_zone_null("in_hand_until"))
        .check(Expr::cust(
            "amount > 0 AND asks >= 0 AND state IN ('pending', 'approved', 'declined') \
             AND (state = 'pending') = (settled_at IS NULL) \
             AND (state = 'pending') = (next_ask_at IS NOT NULL) \
             AND (state = 'pending' OR in_hand_until IS NULL) \
             AND (state = 'approved') = (balance_after IS NOT NULL) \
             AND (state = 'declined') = (decline_reason IS NOT NULL)",
        ))
        .to_owned()
}

fn withdrawals() -> TableCreateStatement {
    Table::create()
        .table("withdrawals")
        .col(schema::pk_uuid("id"))
        .col(schema::uuid("user_id"))
        .col(schema::big_integer("amount"))
        .col(schema::text("state"))
        .col(schema::big_integer("balance_after"))
        .col(schema::timestamp_with_time_zone("requested_at"))
        .check(Expr::cust(
            "amount > 0 AND state IN ('done', 'failed') AND balance_after >= 0",
        ))
        .to_owned()
}

fn idempotency_keys() -> TableCreateStatement {
    Table::create()
        .table("idempotency_keys")
        .col(schema::uuid("user_id"))
        .col(schema::text("key"))
        .col(schema::text("operation"))
        .col(schema::uuid("operation_id"))
        .col(schema::var_binary("request_hash", 32))
        .col(schema::timestamp_with_time_zone("created_at"))
        .primary_key(Index::create().col("user_id").col("key"))
        .to_owned()
}

/// Refuses to change or delete a row of `table`.
async fn make_immutable(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    let conn = manager.get_connection();
    if manager.get_database_backend() == DbBackend::Sqlite {
        for action in ["UPDATE", "DELETE"] {
            conn.execute_unprepared(&format!(
                "CREATE TRIGGER {table}_refuse_{action} BEFORE {action} ON {table} \
                 BEGIN SELECT RAISE(ABORT, '{table} are immutable'); END"
            ))
            .await?;
        }
        return Ok(());
    }
    conn.execute_unprepared(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION '% are immutable', TG_TABLE_NAME; END $$",
    )
    .await?;
    conn.execute_unprepared(&format!(
        "CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table} \
         FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    ))
    .await?;
    Ok(())
}

/// An index over `columns`.
pub(super) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

fn unique(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    index(name, table, columns).unique().to_owned()
}

//! The normal forms of what was typed, in refusals.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement, prelude::Uuid},
};

/// Makes anew what an earlier migration made: SQLite, and PostgreSQL in some locales, change the
/// case of the letters of ASCII alone.
pub(super) struct CodesOfRefusals;

impl MigrationName for CodesOfRefusals {
    fn name(&self) -> &'static str {
        "m20261127_000042_codes_of_refusals"
    }
}

/// Rows that are read at once.
const BATCH: usize = 1_000;

#[async_trait::async_trait]
impl MigrationTrait for CodesOfRefusals {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let conn = manager.get_connection();
        let backend = conn.get_database_backend();
        let other_letters = match backend {
            DbBackend::Postgres => "promocode ~ '[^ -~]'",
            _ => "promocode GLOB '*[^ -~]*'",
        };
        let select = format!(
            "SELECT id, promocode, code FROM refusals WHERE id > $1 AND {other_letters} ORDER BY id LIMIT {BATCH}"
        );
        let mut after = Uuid::nil();
        loop {
            let statement = Statement::from_sql_and_values(backend, &select, [after.into()]);
            let rows = conn.query_all_raw(statement).await?;
            for row in &rows {
                after = row.try_get("", "id")?;
                let code = normal_form(&row.try_get::<String>("", "promocode")?);
                if row.try_get::<Option<String>>("", "code")? != code {
                    let update = "UPDATE refusals SET code = $1 WHERE id = $2";
                    let values = [code.into(), after.into()];
                    conn.execute_raw(Statement::from_sql_and_values(backend, update, values))
                        .await?;
                }
            }
            if rows.len() < BATCH {
                return Ok(());
            }
        }
    }
}

/// As loyalty made it when this migration was written; none where it can't be a promocode.
fn normal_form(typed: &str) -> Option<String> {
    let normal = typed.trim().to_lowercase().to_uppercase();
    let is_code = !normal.is_empty()
        && normal.chars().nth(64).is_none()
        && !normal.chars().any(|c| c.is_whitespace() || c.is_control());
    is_code.then_some(normal)
}

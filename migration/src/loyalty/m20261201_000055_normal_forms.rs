//! The normal forms of promocodes, and of what was typed, in refusals.
//!
//! Earlier forms kept apart what looks alike: composed and decomposed letters, texts with and without
//! invisible characters. A promocode of which another one has the normal form already keeps its old
//! text: it can't be typed any more, administrators still find it, and `kopeck reconcile` reports it.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement, prelude::Uuid},
};
use shared::promocode::normal_form;

/// Rewrites what is not in its normal form. Codes of ASCII are.
pub(super) struct NormalForms;

impl MigrationName for NormalForms {
    fn name(&self) -> &'static str {
        "m20261201_000055_normal_forms"
    }
}

/// Rows that are read at once.
const BATCH: usize = 1_000;

#[async_trait::async_trait]
impl MigrationTrait for NormalForms {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let conn = manager.get_connection();
        if conn.get_database_backend() == DbBackend::Postgres {
            // A replica of the program before must not make a promocode in between.
            conn.execute_unprepared("LOCK TABLE promocodes IN SHARE ROW EXCLUSIVE MODE")
                .await?;
        }
        promocodes(conn).await?;
        refusals(conn).await
    }
}

/// What has its normal form already keeps it; else, of several with one form, the oldest gets it. Ids
/// grow with time.
async fn promocodes(conn: &impl ConnectionTrait) -> Result<(), DbErr> {
    let rows = Rows::of("promocodes", "code", "code");
    let mut after = Uuid::nil();
    while let Some(batch) = rows.behind(conn, &mut after).await? {
        for Row { id, text, .. } in batch {
            let normal = match normal_form(&text) {
                Ok(normal) if normal == text => continue,
                Ok(normal) => normal,
                Err(error) => {
                    tracing::warn!(promocode_id = %id, code = ?text, %error,
                        "the promocode has no normal form: it can't be typed any more");
                    continue;
                }
            };
            let update = "UPDATE promocodes SET code = $1 WHERE id = $2 \
                AND NOT EXISTS (SELECT 1 FROM promocodes AS other WHERE other.code = $1)";
            let values = [normal.clone().into(), id.into()];
            let statement = Statement::from_sql_and_values(conn.get_database_backend(), update, values);
            if conn.execute_raw(statement).await?.rows_affected() == 0 {
                tracing::warn!(promocode_id = %id, code = ?text, normal_form = ?normal,
                    "another promocode has its normal form: it can't be typed any more");
            } else {
                tracing::info!(promocode_id = %id, code = ?text, normal_form = ?normal,
                    "the promocode is kept in its normal form");
            }
        }
    }
    Ok(())
}

async fn refusals(conn: &impl ConnectionTrait) -> Result<(), DbErr> {
    let rows = Rows::of("refusals", "promocode", "code");
    let mut after = Uuid::nil();
    while let Some(batch) = rows.behind(conn, &mut after).await? {
        for Row { id, text, kept } in batch {
            let normal = normal_form(&text).ok();
            if normal != kept {
                let update = "UPDATE refusals SET code = $1 WHERE id = $2";
                let values = [normal.into(), id.into()];
                conn.execute_raw(Statement::from_sql_and_values(
                    conn.get_database_backend(),
                    update,
                    values,
                ))
                .await?;
            }
        }
    }
    Ok(())
}

struct Row {
    id: Uuid,
    text: String,
    kept: Option<String>,
}

/// The rows of a table whose text has other letters than those of ASCII, with what is kept as its
/// normal form.
struct Rows {
    postgres: String,
    sqlite: String,
}

impl Rows {
    fn of(table: &str, text: &str, kept: &str) -> Self {
        let select = |other_letters: String| {
            format!(
                "SELECT id, {text} AS typed, {kept} AS kept FROM {table} \
                 WHERE id > $1 AND {other_letters} ORDER BY id LIMIT {BATCH}"
            )
        };
        Self {
            postgres: select(format!("{text} ~ '[^ -~]'")),
            sqlite: select(format!("{text} GLOB '*[^ -~]*'")),
        }
    }

    /// The next of them behind `after`, which becomes the last of them; none if there are no more.
    async fn behind(&self, conn: &impl ConnectionTrait, after: &mut Uuid) -> Result<Option<Vec<Row>>, DbErr> {
        let backend = conn.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => &self.postgres,
            _ => &self.sqlite,
        };
        let statement = Statement::from_sql_and_values(backend, sql, [(*after).into()]);
        let rows = conn.query_all_raw(statement).await?;
        let rows = rows
            .iter()
            .map(|row| {
                Ok(Row {
                    id: row.try_get("", "id")?,
                    text: row.try_get("", "typed")?,
                    kept: row.try_get("", "kept")?,
                })
            })
            .collect::<Result<Vec<_>, DbErr>>()?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        *after = last.id;
        Ok(Some(rows))
    }
}

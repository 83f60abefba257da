//! What users typed as promocodes that there are not, in reasons that are kept as JSON.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr, Statement, prelude::Uuid};
use serde_json::Value;

/// Rows that are read at once.
const BATCH: usize = 1_000;

/// Rewrites the reasons of all rows that `select` finds, batch by batch. It gives their `id` and, as
/// `kept`, the JSON with the reasons, of rows from behind the id `$1` on; `update` writes `$1` in the
/// place of it to the row with the id `$2`.
pub(crate) async fn forget(conn: &impl ConnectionTrait, select: &str, update: &str) -> Result<(), DbErr> {
    let backend = conn.get_database_backend();
    let select = format!("{select} ORDER BY id LIMIT {BATCH}");
    let mut after = Uuid::nil();
    loop {
        let statement = Statement::from_sql_and_values(backend, &select, [after.into()]);
        let rows = conn.query_all_raw(statement).await?;
        for row in &rows {
            after = row.try_get("", "id")?;
            let kept: Option<String> = row.try_get("", "kept")?;
            let kept = kept.as_deref().map(without).transpose()?;
            let values = [kept.into(), after.into()];
            conn.execute_raw(Statement::from_sql_and_values(backend, update, values))
                .await?;
        }
        if rows.len() < BATCH {
            return Ok(());
        }
    }
}

/// `json` without what was typed, wherever in it the reasons are.
fn without(json: &str) -> Result<String, DbErr> {
    let mut value: Value = serde_json::from_str(json).map_err(|error| DbErr::Json(error.to_string()))?;
    clear(&mut value);
    Ok(value.to_string())
}

fn clear(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(clear),
        Value::Object(fields) => {
            if fields.get("code").is_some_and(|code| code == "unknown_promocode") {
                fields.remove("found");
            }
            fields.values_mut().for_each(clear);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_typed_is_gone_and_all_else_stays() {
        let reasons = |unknown: Value| json!({"reasons": [unknown, {"code": "not_new_user", "found": "x"}]});
        let kept = reasons(json!({"code": "unknown_promocode", "detail": "No.", "found": "JOHN"}));
        let expected = reasons(json!({"code": "unknown_promocode", "detail": "No."}));
        let cleared: Value = serde_json::from_str(&without(&kept.to_string()).unwrap()).unwrap();
        assert_eq!(cleared, expected);
        assert!(without("nonsense").is_err());
    }
}

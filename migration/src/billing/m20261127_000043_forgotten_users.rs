//! What users leave who are deleted already.

use sea_orm_migration::prelude::*;

use crate::typed;

/// Their idempotency keys, and what they typed.
pub(super) struct ForgottenUsers;

impl MigrationName for ForgottenUsers {
    fn name(&self) -> &'static str {
        "m20261127_000043_forgotten_users"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ForgottenUsers {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let conn = manager.get_connection();
        let theirs = "user_id IN (SELECT id FROM users WHERE status = 'deleted')";
        conn.execute_unprepared(&format!("DELETE FROM idempotency_keys WHERE {theirs}"))
            .await?;
        typed::forget(
            conn,
            &format!(
                "SELECT id, refusal_reasons AS kept FROM purchases \
                 WHERE id > $1 AND {theirs} AND state = 'failed' AND promocode <> ''"
            ),
            "UPDATE purchases SET promocode = '', refusal_reasons = $1 WHERE id = $2",
        )
        .await
    }
}

//! What users leave who are deleted already.

use sea_orm_migration::prelude::*;

use crate::typed;

/// Their places in groups, what was granted to them, and what they typed.
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
        for statement in [
            format!("DELETE FROM group_members WHERE {theirs}"),
            format!("DELETE FROM grants WHERE {theirs}"),
            format!(
                "UPDATE redemptions SET promocode = '' WHERE {theirs} AND status = 'refused' AND promocode_id IS NULL"
            ),
        ] {
            conn.execute_unprepared(&statement).await?;
        }
        typed::forget(
            conn,
            &format!(
                "SELECT id, reasons AS kept FROM refusals \
                 WHERE id > $1 AND {theirs} AND promocode_id IS NULL AND promocode <> ''"
            ),
            "UPDATE refusals SET promocode = '', code = NULL, reasons = $1 WHERE id = $2",
        )
        .await
    }
}

//! What users typed as promocodes, in letters.

use sea_orm_migration::prelude::*;

use crate::typed;

/// Letters about purchases that failed do not repeat it any more; these are those that did.
pub(super) struct Typed;

impl MigrationName for Typed {
    fn name(&self) -> &'static str {
        "m20261127_000043_typed"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Typed {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        typed::forget(
            manager.get_connection(),
            "SELECT id, data AS kept FROM letters WHERE id > $1 AND kind = 'purchase_failed' \
             AND data LIKE '%\"unknown_promocode\"%'",
            "UPDATE letters SET data = $1 WHERE id = $2",
        )
        .await
    }
}

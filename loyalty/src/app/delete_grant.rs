//! Takes a grant back.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{GrantId, UserId},
};

use crate::store::{self, grants::Grant};

/// Why a grant can't be taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteGrantError {
    #[error("there is no such grant")]
    NotFound,
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What was used stays used.
pub(crate) async fn delete_grant(tx: &Tx, by: UserId, id: GrantId) -> Result<(), DeleteGrantError> {
    let grant = store::grants::lock(tx.conn(), id).await?;
    let grant = grant.ok_or(DeleteGrantError::NotFound)?;
    store::grants::delete(tx.conn(), id).await?;
    audit::record(tx, deletion(by, &grant)).await?;
    Ok(())
}

/// What is written down of a grant that is taken back.
pub(super) fn deletion(by: UserId, grant: &Grant) -> Deed {
    Deed {
        actor: Some(by),
        action: "grant.delete",
        subject: grant.id.0,
        details: json!({
            "promocode_id": grant.promocode_id,
            "user_id": grant.user_id,
            "group_id": grant.group_id,
        }),
    }
}

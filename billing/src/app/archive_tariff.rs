//! Takes a tariff off sale; what was sold goes on.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    contracts::TariffStatus,
    db::Tx,
    ids::{TariffId, UserId},
};

use super::{
    books::Books,
    create_tariff::{changed, remember},
};
use crate::{domain::tariff::Tariff, store};

/// Archives the tariff for the administrator `by`, and says so; none if there is no such tariff.
///
/// # Errors
/// When the database refuses.
pub async fn archive_tariff(
    tx: &Tx,
    books: &Books,
    by: UserId,
    id: TariffId,
) -> Result<Option<Tariff>, DbErr> {
    let Some(old) = store::tariff::lock(tx.conn(), id).await? else {
        return Ok(None);
    };
    if old.status == TariffStatus::Archived {
        return Ok(Some(old));
    }
    let new = Tariff {
        version: old.version + 1,
        status: TariffStatus::Archived,
        ..old
    };
    store::tariff::update(tx.conn(), &new).await?;
    tx.emit(&changed(books, &new))?;
    remember(tx, by, "tariff.archive", id, json!({})).await?;
    Ok(Some(new))
}

//! Takes a tariff off sale; what was sold goes on.

use sea_orm::DbErr;
use shared::{contracts::TariffStatus, db::Tx, ids::TariffId};

use super::{books::Books, create_tariff::changed};
use crate::{domain::tariff::Tariff, store};

/// Archives the tariff, and says so; none if there is no such tariff.
///
/// # Errors
/// When the database refuses.
pub async fn archive_tariff(tx: &Tx, books: &Books, id: TariffId) -> Result<Option<Tariff>, DbErr> {
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
    Ok(Some(new))
}

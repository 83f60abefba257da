//! Puts a tariff on sale.

use sea_orm::DbErr;
use shared::{contracts::TariffChangedV1, db::Tx, ids::TariffId};

use super::books::Books;
use crate::{
    domain::tariff::{NewTariff, Tariff},
    store,
};

/// Creates the tariff, and says so.
///
/// # Errors
/// When the database refuses.
pub async fn create_tariff(tx: &Tx, books: &Books, new: NewTariff) -> Result<Tariff, DbErr> {
    let tariff = Tariff::new(TariffId::new(tx.now()), new);
    store::tariff::insert(tx.conn(), &tariff, tx.now()).await?;
    tx.emit(&changed(books, &tariff))?;
    Ok(tariff)
}

/// The tariff's whole state, as it is said to others.
pub(super) fn changed(books: &Books, tariff: &Tariff) -> TariffChangedV1 {
    TariffChangedV1 {
        tariff_id: tariff.id,
        version: tariff.version,
        name: tariff.name.clone(),
        price: books.money(tariff.price),
        period: tariff.period.to_string(),
        status: tariff.status,
    }
}

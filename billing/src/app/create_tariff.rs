//! Puts a tariff on sale.

use sea_orm::DbErr;
use serde_json::{Value, json};
use shared::{
    audit::{self, Deed},
    contracts::TariffChangedV1,
    db::Tx,
    ids::{TariffId, UserId},
};

use super::books::Books;
use crate::{
    domain::tariff::{NewTariff, Tariff},
    store,
};

/// Creates the tariff for the administrator `by`, and says so.
///
/// # Errors
/// When the database refuses.
pub async fn create_tariff(tx: &Tx, books: &Books, by: UserId, new: NewTariff) -> Result<Tariff, DbErr> {
    let tariff = Tariff::new(TariffId::new(tx.now()), new);
    store::tariff::insert(tx.conn(), &tariff, tx.now()).await?;
    tx.emit(&changed(books, &tariff))?;
    let details = json!({"now": shown(books, &tariff)});
    remember(tx, by, "tariff.create", tariff.id, details).await?;
    Ok(tariff)
}

/// Writes down what the administrator `by` does to a tariff.
pub(super) async fn remember(
    tx: &Tx,
    by: UserId,
    action: &'static str,
    tariff: TariffId,
    details: Value,
) -> Result<(), DbErr> {
    let deed = Deed {
        actor: Some(by),
        action,
        subject: tariff.0,
        details,
    };
    audit::record(tx, deed).await
}

/// A tariff as the audit log shows it.
pub(super) fn shown(books: &Books, tariff: &Tariff) -> Value {
    json!({
        "name": tariff.name,
        "price": books.money(tariff.price),
        "period": tariff.period.to_string(),
    })
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

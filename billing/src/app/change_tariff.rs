//! Changes what a tariff is called, costs, or how long it runs. What was bought stays as it was.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    contracts::TariffStatus,
    db::Tx,
    ids::{TariffId, UserId},
    money::Amount,
};

use super::{
    books::Books,
    create_tariff::{changed, remember, shown},
};
use crate::{
    domain::tariff::{NewTariff, Tariff, TariffError},
    store,
};

/// What is to be changed; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct ChangeTariff {
    /// The new name.
    pub name: Option<String>,
    /// The new price, in minor units.
    pub price: Option<Amount>,
    /// The new period, ISO 8601.
    pub period: Option<String>,
}

/// Why it could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeTariffError {
    /// There is no such tariff.
    #[error("there is no such tariff")]
    NotFound,
    /// It is off sale for good.
    #[error("the tariff is archived")]
    Archived,
    /// Fields are wrong.
    #[error("the tariff has wrong fields")]
    Invalid(Vec<TariffError>),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Makes the tariff's next version for the administrator `by`, and says so; a change to what it is already makes none.
///
/// # Errors
/// When there is no such tariff, it is archived, or a field is wrong.
pub async fn change_tariff(
    tx: &Tx,
    books: &Books,
    by: UserId,
    id: TariffId,
    change: &ChangeTariff,
) -> Result<Tariff, ChangeTariffError> {
    let old = store::tariff::lock(tx.conn(), id)
        .await?
        .ok_or(ChangeTariffError::NotFound)?;
    if old.status == TariffStatus::Archived {
        return Err(ChangeTariffError::Archived);
    }
    let name = change.name.as_deref().unwrap_or(&old.name);
    let period = change.period.clone().unwrap_or_else(|| old.period.to_string());
    let checked = NewTariff::parse(name, change.price.unwrap_or(old.price), &period)
        .map_err(ChangeTariffError::Invalid)?;
    let new = Tariff {
        version: old.version,
        status: old.status,
        ..Tariff::new(id, checked)
    };
    if new == old {
        return Ok(old);
    }
    let new = Tariff {
        version: old.version + 1,
        ..new
    };
    store::tariff::update(tx.conn(), &new).await?;
    tx.emit(&changed(books, &new))?;
    let details = json!({"before": shown(books, &old), "now": shown(books, &new)});
    remember(tx, by, "tariff.change", id, details).await?;
    Ok(new)
}

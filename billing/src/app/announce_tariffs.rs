//! Shows tariffs for comparison with their replica, and announces again those that it lacks.

use iso_currency::Currency;
use sea_orm::{ConnectionTrait, DbErr};
use shared::{contracts::TariffChangedV1, db::Db, ids::TariffId, money::Money, reconcile::Replicated};

use crate::store;

/// Every tariff, as its replica is to have it.
///
/// # Errors
/// When the database does not answer.
pub async fn owned_tariffs(conn: &impl ConnectionTrait) -> Result<Vec<Replicated>, DbErr> {
    let tariffs = store::tariff::all(conn).await?;
    let rows = tariffs.into_iter().map(|tariff| Replicated {
        id: tariff.id.0,
        version: tariff.version,
        content: format!(
            "{:?}, {} for {}, {:?}",
            tariff.name, tariff.price.0, tariff.period, tariff.status
        ),
    });
    Ok(rows.collect())
}

/// Announces the present state of these tariffs again, under the same version: a service that has it already
/// ignores it.
///
/// # Errors
/// When the database refuses.
pub async fn announce_tariffs(db: &Db, currency: Currency, tariffs: &[TariffId]) -> Result<usize, DbErr> {
    db.write(|tx| async move {
        let mut announced = 0;
        // Locked, so that no newer state is announced before this one.
        for id in tariffs {
            let Some(tariff) = store::tariff::lock(tx.conn(), *id).await? else {
                continue;
            };
            tx.emit(&TariffChangedV1 {
                tariff_id: tariff.id,
                version: tariff.version,
                name: tariff.name,
                price: Money {
                    amount: tariff.price,
                    currency,
                },
                period: tariff.period.to_string(),
                status: tariff.status,
            })?;
            announced += 1;
        }
        Ok(announced)
    })
    .await
}

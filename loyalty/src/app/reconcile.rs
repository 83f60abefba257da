//! Holds loyalty's own tables against each other, and shows what others are to be held against.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};
use shared::{
    clock::Instant,
    contracts::ReportPurchaseV1,
    db::Db,
    ids::PurchaseId,
    money::Amount,
    reconcile::{Finding, Replicated},
};

use crate::{domain::redemption::RedemptionStatus, store};

/// What became of one purchase's promocode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledRedemption {
    /// How it stands.
    pub status: RedemptionStatus,
    /// What the purchase was to cost; absent if nothing was held.
    pub final_price: Option<Amount>,
    /// Whether its use goes back when the purchase is refunded: it is `returned` then, and else
    /// still `confirmed`.
    pub returns_use: bool,
}

/// Everything that breaks a rule of loyalty's own tables. What is younger than `before` may still
/// be on its way.
///
/// # Errors
/// When the database does not answer.
pub async fn reconcile(
    conn: &(impl ConnectionTrait + TransactionTrait),
    before: Instant,
) -> Result<Vec<Finding>, DbErr> {
    shared::reconcile::run(conn, store::audit::CHECKS, before).await
}

/// The replica of billing's tariffs.
///
/// # Errors
/// When the database does not answer.
pub async fn replicated_tariffs(conn: &impl ConnectionTrait) -> Result<Vec<Replicated>, DbErr> {
    let tariffs = store::tariffs::all(conn).await?;
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

/// Asks billing to announce the outcomes of these purchases again: to loyalty, whose redemptions follow
/// them, and to notifications, which makes a letter that is missing.
///
/// # Errors
/// When the database refuses.
pub async fn ask_for_outcomes(db: &Db, purchases: &[PurchaseId]) -> Result<(), DbErr> {
    db.write(|tx| async move {
        for purchase_id in purchases.iter().copied() {
            tx.emit(&ReportPurchaseV1 { purchase_id })?;
        }
        Ok(())
    })
    .await
}

/// The redemptions of these purchases, as far as there are.
///
/// # Errors
/// When the database does not answer.
pub async fn redemptions_of(
    conn: &impl ConnectionTrait,
    purchases: &[PurchaseId],
) -> Result<HashMap<PurchaseId, SettledRedemption>, DbErr> {
    let rows = store::redemptions::find_many(conn, purchases.iter().copied()).await?;
    rows.into_iter()
        .map(|(id, row)| {
            let settled = SettledRedemption {
                status: row.stands()?,
                final_price: row.final_price,
                returns_use: row.returns_use,
            };
            Ok((id, settled))
        })
        .collect()
}

/// At most `limit` purchases for which a use has been taken since before `before`, by id, from
/// behind `after` on.
///
/// # Errors
/// When the database does not answer.
pub async fn purchases_with_a_use(
    conn: &impl ConnectionTrait,
    before: Instant,
    after: Option<PurchaseId>,
    limit: u64,
) -> Result<Vec<PurchaseId>, DbErr> {
    store::redemptions::taken_before(conn, before, after, limit).await
}

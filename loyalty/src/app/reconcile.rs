//! Holds loyalty's own tables against each other, and shows what others are to be held against.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};
use shared::{
    clock::Instant,
    contracts::ReportPurchaseV1,
    db::Db,
    ids::{PromocodeId, PurchaseId},
    money::Amount,
    reconcile::{Finding, Replicated},
};

use crate::{
    domain::{promocode::PromocodeCode, redemption::RedemptionStatus},
    store,
};

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
    let mut findings = shared::reconcile::run(conn, store::audit::CHECKS, before).await?;
    findings.extend(untypeable_promocodes(conn).await?);
    Ok(findings)
}

/// Promocodes that are switched on and found by nothing that is typed: another one has their normal
/// form, or they have none. An administrator switches them off, or makes new ones in their place.
async fn untypeable_promocodes(conn: &impl ConnectionTrait) -> Result<Vec<Finding>, DbErr> {
    const BATCH: u64 = 1_000;
    let mut findings = Vec::new();
    let mut after = PromocodeId(uuid::Uuid::nil());
    loop {
        let promocodes = store::promocodes::find_of_other_letters(conn, after, BATCH).await?;
        let is_last = (promocodes.len() as u64) < BATCH;
        if let Some(last) = promocodes.last() {
            after = last.id;
        }
        let untypeable = promocodes
            .iter()
            .filter(|promocode| !promocode.code.is_typeable());
        findings.extend(untypeable.map(|promocode| Finding {
            rule: "every promocode that is switched on can be typed",
            id: promocode.id.0,
            detail: match PromocodeCode::parse(promocode.code.as_str()) {
                Ok(normal) => format!(
                    "{:?} is stored in an older form; its normal form {normal:?} is another promocode's",
                    promocode.code.as_str(),
                    normal = normal.as_str()
                ),
                Err(error) => format!(
                    "{:?} is stored in an older form: {error}",
                    promocode.code.as_str()
                ),
            },
        }));
        if is_last {
            return Ok(findings);
        }
    }
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

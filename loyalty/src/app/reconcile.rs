//! Holds loyalty's own tables against each other, and shows what others are to be held against.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};
use shared::{clock::Instant, ids::PurchaseId, money::Amount, reconcile::Finding};

use crate::{domain::redemption::RedemptionStatus, store};

/// What became of one purchase's promocode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledRedemption {
    /// How it stands.
    pub status: RedemptionStatus,
    /// What the purchase was to cost; absent if nothing was held.
    pub final_price: Option<Amount>,
}

/// Everything that breaks a rule of loyalty's own tables. What is younger than `before` may still
/// be on its way.
///
/// # Errors
/// When the database does not answer.
pub async fn reconcile(conn: &impl ConnectionTrait, before: Instant) -> Result<Vec<Finding>, DbErr> {
    shared::reconcile::run(conn, store::audit::CHECKS, before).await
}

/// Every redemption that was made before `before`.
///
/// # Errors
/// When the database does not answer.
pub async fn redemptions_before(
    conn: &impl ConnectionTrait,
    before: Instant,
) -> Result<HashMap<PurchaseId, SettledRedemption>, DbErr> {
    let rows = store::redemptions::list_before(conn, before).await?;
    rows.into_iter()
        .map(|row| {
            let settled = SettledRedemption {
                status: row.stands()?,
                final_price: row.final_price,
            };
            Ok((row.purchase_id, settled))
        })
        .collect()
}

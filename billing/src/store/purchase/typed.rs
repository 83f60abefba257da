//! What customers typed as promocodes.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use shared::ids::{PurchaseId, UserId};

use super::{Column, Entity, read, reasons_json};
use crate::domain::purchase::PurchaseState;

/// Purchases that are read at once.
const BATCH: u64 = 2_000;

/// Empties what these users typed where it was not paid. A purchase that waits keeps it until it ends:
/// whoever ends it knows by then that its buyer is deleted, since they wait for this transaction, or
/// this one for them.
///
/// # Errors
/// When the database refuses.
pub async fn forget_what_was_typed(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<(), DbErr> {
    let mut after: Option<PurchaseId> = None;
    loop {
        let unpaid = [PurchaseState::Pending.as_str(), "failed"];
        let mut typed = Entity::find()
            .filter(Column::UserId.is_in(users.iter().copied()))
            .filter(Column::State.is_in(unpaid))
            .filter(Column::Promocode.ne(""));
        if let Some(after) = after {
            typed = typed.filter(Column::Id.gt(after));
        }
        let rows = typed
            .order_by_asc(Column::Id)
            .limit(BATCH)
            .lock_exclusive()
            .all(conn)
            .await?;
        after = rows.last().map(|row| row.id);
        let is_last = (rows.len() as u64) < BATCH;
        let mut by_reasons: BTreeMap<Option<String>, Vec<PurchaseId>> = BTreeMap::new();
        for row in rows {
            let mut purchase = read(row)?;
            purchase.forget_what_was_typed();
            if purchase.promocode.as_deref() == Some("") {
                let reasons = reasons_json(&purchase.refusal_reasons)?;
                by_reasons.entry(reasons).or_default().push(purchase.id);
            }
        }
        // Without what was typed hardly any differ.
        for (reasons, ids) in by_reasons {
            Entity::update_many()
                .col_expr(Column::Promocode, Expr::value(""))
                .col_expr(Column::RefusalReasons, Expr::value(reasons))
                .filter(Column::Id.is_in(ids))
                .exec(conn)
                .await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

//! What customers typed as promocodes.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use shared::ids::{PurchaseId, UserId};

use super::{Column, Entity, read, reasons_json};
use crate::domain::purchase::PurchaseState;

/// Purchases that are read at once.
const BATCH: u64 = 500;

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
        for row in rows {
            let mut purchase = read(row)?;
            purchase.forget_what_was_typed();
            if purchase.promocode.as_deref() == Some("") {
                Entity::update_many()
                    .col_expr(Column::Promocode, Expr::value(""))
                    .col_expr(
                        Column::RefusalReasons,
                        Expr::value(reasons_json(&purchase.refusal_reasons)?),
                    )
                    .filter(Column::Id.eq(purchase.id))
                    .exec(conn)
                    .await?;
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

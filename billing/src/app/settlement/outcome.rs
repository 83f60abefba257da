//! Says how purchases ended.

use sea_orm::DbErr;
use shared::{
    contracts::{FailureReason, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1},
    db::Tx,
    money::Amount,
};

use crate::{
    app::books::Books,
    domain::{
        purchase::{Purchase, PurchaseState},
        subscription::Subscription,
    },
};

/// Says how `purchase` ended; nothing while it has not.
pub(super) fn say_outcome(
    tx: &Tx,
    books: &Books,
    purchase: &Purchase,
    given: Option<&Subscription>,
) -> Result<(), DbErr> {
    match (purchase.state, given) {
        (PurchaseState::Pending, _) => Ok(()),
        (PurchaseState::Failed(reason), _) => say_failed(tx, books, purchase, reason),
        (PurchaseState::Paid, Some(given)) => say_paid(tx, books, purchase, given),
        (PurchaseState::Refunded, Some(given)) => say_refunded(tx, books, purchase, given),
        (PurchaseState::Paid | PurchaseState::Refunded, None) => Err(DbErr::RecordNotFound(format!(
            "the paid purchase {} has no subscription",
            purchase.id
        ))),
    }
}

fn say_paid(tx: &Tx, books: &Books, purchase: &Purchase, given: &Subscription) -> Result<(), DbErr> {
    tx.emit(&PurchasePaidV1 {
        purchase_id: purchase.id,
        version: purchase.version,
        user_id: purchase.user_id,
        tariff_id: purchase.tariff_id,
        tariff_name: purchase.tariff_name.clone(),
        with_promocode: purchase.promocode.is_some(),
        list_price: books.money(purchase.list_price),
        discount: books.money(purchase.discount),
        charged: books.money(purchase.cost()),
        balance_after: books.money(purchase.balance_after.unwrap_or(Amount::ZERO)),
        subscription_id: given.id,
        subscription_starts_at: given.starts_at,
        subscription_ends_at: given.ends_at,
        paid_at: purchase.settled_at.unwrap_or(tx.now()),
    })?;
    Ok(())
}

fn say_failed(tx: &Tx, books: &Books, purchase: &Purchase, reason: FailureReason) -> Result<(), DbErr> {
    tx.emit(&PurchaseFailedV1 {
        purchase_id: purchase.id,
        version: purchase.version,
        user_id: purchase.user_id,
        tariff_id: purchase.tariff_id,
        tariff_name: purchase.tariff_name.clone(),
        with_promocode: purchase.promocode.is_some(),
        cost: books.money(purchase.cost()),
        balance: books.money(purchase.balance_after.unwrap_or(Amount::ZERO)),
        reason,
        refusal_reasons: purchase.refusal_reasons.clone(),
        failed_at: purchase.settled_at.unwrap_or(tx.now()),
    })?;
    Ok(())
}

fn say_refunded(tx: &Tx, books: &Books, purchase: &Purchase, given: &Subscription) -> Result<(), DbErr> {
    let (balance_after, refunded_at) = purchase.last_moved().unwrap_or((Amount::ZERO, tx.now()));
    tx.emit(&PurchaseRefundedV1 {
        purchase_id: purchase.id,
        version: purchase.version,
        user_id: purchase.user_id,
        tariff_id: purchase.tariff_id,
        tariff_name: purchase.tariff_name.clone(),
        with_promocode: purchase.promocode.is_some(),
        refunded: books.money(purchase.cost()),
        balance_after: books.money(balance_after),
        subscription_id: given.id,
        moved: purchase
            .refund
            .as_ref()
            .map(|refund| refund.moved.clone())
            .unwrap_or_default(),
        reason: purchase.refund.as_ref().map(|refund| refund.reason.clone()),
        refunded_at,
    })?;
    Ok(())
}

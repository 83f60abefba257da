//! An administrator gives a paid purchase back: the money returns, the subscription ends.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{PurchaseId, UserId},
    justification::Justification,
};

use super::{
    books::Books,
    claim_key::{Claim, ClaimError, Keyed, Operation, claim_key},
    read_purchase::{PurchaseView, read_purchase},
    settle_purchases::{SettleError, TellPurchase, settle_purchases},
};
use crate::{domain::purchase::SagaMessage, store};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RefundPurchase {
    /// Which purchase.
    pub id: PurchaseId,
    /// The administrator.
    pub by: UserId,
    /// Why.
    pub reason: Justification,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
}

/// Why it is not given back.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// There is no such purchase.
    #[error("there is no such purchase")]
    NotFound,
    /// It is the administrator's own.
    #[error("an account can't refund its own purchase")]
    Own,
    /// It is pending, has failed, or was given back already.
    #[error("the purchase is not paid")]
    NotPaid,
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// It could not be told.
    #[error("the purchase could not be told")]
    Settle(#[from] SettleError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Gives the purchase back; finds it if this is a repeat. Who is deleted gets nothing: what was
/// charged goes where their money went.
///
/// # Errors
/// When there is no such purchase, it is the administrator's own, or it is not paid.
pub async fn refund_purchase(
    tx: &Tx,
    books: &Books,
    input: &RefundPurchase,
) -> Result<PurchaseView, RefundError> {
    let operation = Operation {
        user_id: input.by,
        kind: "refund",
        id: input.id.0,
    };
    if let Claim::Repeat(first) = claim_key(tx, input.keyed.as_ref(), operation).await? {
        let first = read_purchase(tx.conn(), PurchaseId(first)).await?;
        return first.ok_or(RefundError::NotFound);
    }
    let purchase = store::purchase::find(tx.conn(), input.id).await?;
    let purchase = purchase.ok_or(RefundError::NotFound)?;
    if purchase.user_id == input.by {
        return Err(RefundError::Own);
    }
    let told = TellPurchase {
        purchase_id: input.id,
        user_id: None,
        message: SagaMessage::RefundRequested {
            reason: input.reason.to_string(),
        },
    };
    let view = settle_purchases(tx, books, &[told]).await?.pop();
    let view = view.ok_or(RefundError::NotPaid)?;
    let deed = Deed {
        actor: Some(input.by),
        action: "purchase.refund",
        subject: input.id.0,
        details: json!({
            "user_id": view.purchase.user_id,
            "reason": input.reason.as_str(),
            "refunded": books.money(view.purchase.cost()),
        }),
    };
    audit::record(tx, deed).await?;
    Ok(view)
}

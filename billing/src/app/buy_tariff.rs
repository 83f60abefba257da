//! Buys a tariff: at once, or by asking loyalty for the promocode first.

use std::collections::BTreeSet;

use chrono::Duration;
use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{PurchaseId, TariffId, UserId},
};

use super::{
    books::Books,
    claim_key::{Claim, ClaimError, Keyed, Operation, claim_key},
    read_purchase::{PurchaseView, read_purchase},
    settlement::Settlement,
};
use crate::{
    domain::purchase::{PurchaseRequest, StartError, start},
    store,
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BuyTariff {
    /// Who buys.
    pub user_id: UserId,
    /// What.
    pub tariff_id: TariffId,
    /// As the customer typed it.
    pub promocode: Option<String>,
    /// How long loyalty's answer is waited for.
    pub patience: Duration,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
}

/// Why there is no purchase. (One that fails is a purchase.)
#[derive(Debug, thiserror::Error)]
pub enum BuyTariffError {
    /// No such tariff.
    #[error("there is no such tariff")]
    NoSuchTariff,
    /// It can't be bought.
    #[error("the tariff can't be bought")]
    Start(#[from] StartError),
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Begins the purchase, and decides it if it needs no promocode; finds it if it is a repeat.
/// Gives it as this transaction leaves it, so that nobody need look again after the commit.
///
/// # Errors
/// When there is no purchase.
pub async fn buy_tariff(tx: &Tx, books: &Books, input: &BuyTariff) -> Result<PurchaseView, BuyTariffError> {
    let id = PurchaseId::new(tx.now());
    let operation = Operation {
        user_id: input.user_id,
        kind: "purchase",
        id: id.0,
    };
    if let Claim::Repeat(first) = claim_key(tx, input.keyed.as_ref(), operation).await? {
        let first = read_purchase(tx.conn(), PurchaseId(first)).await?;
        return Ok(first.ok_or_else(|| DbErr::RecordNotFound("the purchase of a key".to_owned()))?);
    }
    let tariff = store::tariff::find(tx.conn(), input.tariff_id)
        .await?
        .ok_or(BuyTariffError::NoSuchTariff)?;
    let mut settlement = Settlement::open(tx, books, &BTreeSet::from([input.user_id])).await?;
    let request = PurchaseRequest {
        id,
        user_id: input.user_id,
        promocode: input.promocode.clone(),
        deadline: tx.now() + input.patience,
    };
    let started = start(request, &tariff, &settlement.facts(input.user_id)?)?;
    let view = settlement.begin(started)?;
    settlement.write().await?;
    Ok(view)
}

//! Buys tariffs: at once, or by asking loyalty for the promocode first. Many at once, several by
//! one user included.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

use chrono::Duration;
use futures::StreamExt as _;
use sea_orm::DbErr;
use shared::{
    db::{self, Db, Tx},
    ids::{PurchaseId, TariffId, UserId},
    money::Amount,
    throttle::Throttled,
    users,
};

use super::{
    books::Books,
    claim_key::{Claim, ClaimError, Keyed, Operation, check_keys, remember_keys},
    failures::count_failure,
    read_purchase::{PurchaseView, read_purchase},
    settlement::Settlement,
};
use crate::{
    domain::{
        failures::Counted,
        purchase::{Purchase, PurchaseRequest, PurchaseState, StartError, start},
        tariff::Tariff,
        wallet::may_be_used,
    },
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
    /// What the buyer expects to be charged; none if any price will do.
    pub expected_price: Option<Amount>,
    /// How long loyalty's answer is waited for.
    pub patience: Duration,
    /// The name of the operation, if the client gave one.
    pub keyed: Option<Keyed>,
    /// How many failures do not slow down the next one.
    pub free_failures: u32,
    /// From where it is asked; see [`bucket_of`](shared::throttle::bucket_of).
    pub client_bucket: Option<u32>,
    /// The trace that asks, as a W3C `traceparent`.
    pub traceparent: Option<String>,
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
    /// Too many before it failed; it is not recorded.
    #[error("too many purchases failed")]
    Throttled(#[source] Throttled),
    /// The key.
    #[error("the idempotency key can't be used")]
    Claim(#[from] ClaimError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
    /// Why the transaction failed in which others bought too.
    #[error("buying failed together with others")]
    Together(#[source] Arc<BuyTariffError>),
}

/// What became of each that was asked for.
pub type Bought = Result<PurchaseView, BuyTariffError>;

/// How many of a batch that failed are done side by side: one that waits for a lock must not make
/// all others wait, nor they take every connection.
const SIDE_BY_SIDE: usize = 4;

/// Does all of `asked` in one transaction, and says of each what became of it, in the same order.
/// If the transaction fails over one of them, the others do not suffer for it: each then has one
/// of its own. Not when the database went away, since then nobody knows whether it committed, and
/// doing it again might be doing it twice.
pub async fn buy_together(db: &Db, books: &Books, asked: &[BuyTariff]) -> Vec<Bought> {
    let error = match buy(db, books, asked).await {
        Ok(bought) => return bought,
        Err(error) => error,
    };
    let away = OnceLock::new();
    if asked.len() == 1 || db::is_outage(&error) {
        let _ = away.set(Arc::new(error));
    }
    let alone = asked.iter().map(|asked| buy_alone(db, books, asked, &away));
    // Into a list first: the compiler does not follow the closure into a stream.
    let alone: Vec<_> = alone.collect();
    futures::stream::iter(alone)
        .buffered(SIDE_BY_SIDE)
        .collect()
        .await
}

/// Buys unless the database is `away`; then all get the error that told so.
async fn buy_alone(
    db: &Db,
    books: &Books,
    asked: &BuyTariff,
    away: &OnceLock<Arc<BuyTariffError>>,
) -> Bought {
    if let Some(error) = away.get() {
        return Err(BuyTariffError::Together(Arc::clone(error)));
    }
    match buy(db, books, std::slice::from_ref(asked)).await {
        Ok(mut bought) => bought
            .pop()
            .unwrap_or(Err(BuyTariffError::Store(DbErr::RecordNotInserted))),
        Err(error) => {
            let error = Arc::new(error);
            if db::is_outage(&*error) {
                let _ = away.set(Arc::clone(&error));
            }
            Err(BuyTariffError::Together(error))
        }
    }
}

async fn buy(db: &Db, books: &Books, asked: &[BuyTariff]) -> Result<Vec<Bought>, BuyTariffError> {
    db.write(|tx| async move { buy_tariffs(&tx, books, asked).await })
        .await
}

/// Begins each purchase, and decides it if it needs no promocode; finds it if it is a repeat.
/// Gives each as this transaction leaves it, so that nobody need look again after the commit.
///
/// # Errors
/// When the database fails. What is wrong with one of them only is said in its place.
pub async fn buy_tariffs(tx: &Tx, books: &Books, asked: &[BuyTariff]) -> Result<Vec<Bought>, BuyTariffError> {
    let ids: Vec<_> = asked.iter().map(|_| PurchaseId::new(tx.now())).collect();
    let operations = asked.iter().zip(&ids).map(|(asked, id)| {
        let operation = Operation {
            user_id: asked.user_id,
            kind: "purchase",
            id: id.0,
        };
        (asked.keyed.as_ref(), operation)
    });
    let operations: Vec<_> = operations.collect();
    let claims = check_keys(tx, &operations).await?;
    let tariffs = store::tariff::find_many(tx.conn(), asked.iter().map(|asked| asked.tariff_id)).await?;
    let mut settlement = open(tx, books, asked).await?;

    let mut bought = Vec::with_capacity(asked.len());
    let mut begun = Vec::new();
    for ((asked, operation), claim) in asked.iter().zip(&operations).zip(claims) {
        bought.push(match claim {
            Err(error) => Err(error.into()),
            Ok(Claim::Repeat(first)) => Ok(repeated(tx, first).await?),
            Ok(Claim::First) => {
                let id = PurchaseId(operation.1.id);
                let begins = begin(tx, &mut settlement, &tariffs, asked, id).await?;
                // What is kept of who is deleted has no key.
                if begins.is_ok() && !settlement.is_deleted(asked.user_id) {
                    begun.push(*operation);
                }
                begins
            }
        });
    }
    remember_keys(tx, &begun).await?;
    settlement.write().await?;
    Ok(bought)
}

/// Locks the wallets of those alone who are decided at once. Who waits for loyalty is charged by
/// a later transaction, and it is this one's lock that would make it wait.
async fn open<'a>(tx: &'a Tx, books: &'a Books, asked: &[BuyTariff]) -> Result<Settlement<'a>, DbErr> {
    let with_promocode: BTreeSet<_> = asked
        .iter()
        .filter(|asked| asked.promocode.is_some())
        .map(|asked| asked.user_id)
        .collect();
    // What loyalty is told; it is read once more where it matters, over the locked wallet.
    let buyers = store::buyer::find_many(tx.conn(), with_promocode).await?;
    let status = |user: UserId| buyers.known.get(&user).map(|known| known.status);
    // Their purchases end here with what they typed: whoever is being deleted is waited for, and then
    // known to be below.
    let refused = asked
        .iter()
        .filter(|asked| asked.promocode.is_some() && !may_be_used(status(asked.user_id)));
    users::deleted_among(tx.conn(), refused.map(|asked| asked.user_id)).await?;
    let decided_now = asked
        .iter()
        .filter(|asked| asked.promocode.is_none() || !may_be_used(status(asked.user_id)))
        .map(|asked| asked.user_id)
        .collect();
    let mut settlement = Settlement::open(tx, books, &decided_now).await?;
    settlement.also_know(buyers);
    Ok(settlement)
}

async fn begin(
    tx: &Tx,
    settlement: &mut Settlement<'_>,
    tariffs: &HashMap<TariffId, Tariff>,
    asked: &BuyTariff,
    id: PurchaseId,
) -> Result<Bought, DbErr> {
    let Some(tariff) = tariffs.get(&asked.tariff_id) else {
        return Ok(Err(BuyTariffError::NoSuchTariff));
    };
    if let Some(traceparent) = &asked.traceparent {
        tx.belongs_to(id.0, traceparent.clone());
    }
    let request = PurchaseRequest {
        id,
        user_id: asked.user_id,
        promocode: asked.promocode.clone(),
        expected_price: asked.expected_price,
        deadline: tx.now() + asked.patience,
    };
    let started = match start(request, tariff, &settlement.facts(asked.user_id)) {
        Ok(started) => started,
        Err(error) => return Ok(Err(error.into())),
    };
    if let Some(throttled) = throttle(tx, settlement, asked, &started.purchase).await? {
        return Ok(Err(BuyTariffError::Throttled(throttled)));
    }
    settlement.begin(started, asked.client_bucket).map(Ok)
}

/// Whether this purchase has to wait since too many before it failed. One that would be paid is not
/// asked; of one that waits for loyalty, it is not known yet whether it would.
async fn throttle(
    tx: &Tx,
    settlement: &Settlement<'_>,
    asked: &BuyTariff,
    purchase: &Purchase,
) -> Result<Option<Throttled>, DbErr> {
    let (user, free) = (asked.user_id, asked.free_failures);
    match purchase.state {
        PurchaseState::Pending => Ok(settlement.slowed(purchase, free)),
        PurchaseState::Paid | PurchaseState::Refunded => Ok(None),
        PurchaseState::Failed(reason) => match Counted::of(reason) {
            Some(counted) => count_failure(tx, counted, user, free).await,
            None => Ok(None),
        },
    }
}

async fn repeated(tx: &Tx, first: uuid::Uuid) -> Result<PurchaseView, DbErr> {
    let first = read_purchase(tx.conn(), PurchaseId(first)).await?;
    first.ok_or_else(|| DbErr::RecordNotFound("the purchase of a key".to_owned()))
}

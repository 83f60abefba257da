//! A customer tries a promocode: a dry run, its refusal kept, and guesses counted.

use sea_orm::DbErr;
use shared::{
    contracts::{Reason, RefusalCode},
    db::Db,
    throttle::Throttled,
};

use super::{
    cached_terms::CachedTerms,
    guesses::Watched,
    hold_promocodes::count_refusal_for,
    validate_promocode::{
        AT, ValidatePromocode, ValidatePromocodeError, Validation, keep_refusal, validate_promocode,
    },
};
use crate::{
    domain::{discount::Priced, masking::hides_the_promocode, promocode::PromocodeCode},
    store::refusals::Refusal,
};

/// What the customer is told.
#[derive(Clone, Debug)]
pub(crate) enum Tried {
    /// What the tariff would cost.
    Priced { code: PromocodeCode, priced: Priced },
    /// Why the promocode can't be used: the customer's copy.
    Refused(Vec<Reason>),
}

/// Why they are told nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TryPromocodeError {
    #[error("too many unknown promocodes were tried")]
    Throttled(#[source] Throttled),
    #[error(transparent)]
    Validate(#[from] ValidatePromocodeError),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Answers, unless the `watched` user has guessed too much. Without one, nothing is counted.
///
/// A guess is counted in the transaction that answers it, and one too many is not answered: so
/// concurrent guesses get no more answers than sequential ones. A promocode that is meant for others
/// is counted and answered as one that does not exist, with the same statements.
pub(crate) async fn try_promocode(
    db: &Db,
    terms: &CachedTerms,
    watched: Option<&Watched>,
    input: &ValidatePromocode,
) -> Result<Tried, TryPromocodeError> {
    let validation = validate_promocode(db.reader(), terms, db.now(), input).await?;
    let is_unknown =
        matches!(&validation, Validation::Refused { reasons, .. } if hides_the_promocode(reasons));
    if let Some(watched) = watched.filter(|_| !is_unknown)
        && let Some(throttled) = watched.check(db.reader(), db.now()).await?
    {
        return Err(refused(throttled));
    }
    match validation {
        Validation::Priced { code, priced } => Ok(Tried::Priced { code, priced }),
        Validation::Refused { reasons, to_keep } => {
            let counted = watched.filter(|_| is_unknown);
            keep(db, counted, to_keep.as_ref()).await?.map_err(refused)?;
            Ok(Tried::Refused(reasons))
        }
    }
}

/// Writes what is to be kept, and counts the guess where it is one; nothing is kept of one too many.
async fn keep(
    db: &Db,
    counted: Option<&Watched>,
    refusal: Option<&Refusal>,
) -> Result<Result<(), Throttled>, DbErr> {
    if counted.is_none() && refusal.is_none() {
        return Ok(Ok(()));
    }
    db.write(|tx| async move {
        if let Some(counted) = counted
            && let Some(throttled) = counted.count(&tx).await?
        {
            return Ok(Err(throttled));
        }
        if let Some(refusal) = refusal {
            keep_refusal(&tx, refusal).await?;
        }
        Ok::<_, DbErr>(Ok(()))
    })
    .await
}

fn refused(throttled: Throttled) -> TryPromocodeError {
    count_refusal_for(RefusalCode::TooManyAttempts, AT);
    TryPromocodeError::Throttled(throttled)
}

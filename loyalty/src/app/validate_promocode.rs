//! A dry run: prices a tariff with a promocode and changes nothing. Only a refusal that tells
//! something new is written, so that the others cost no write transaction. What the terms are may
//! come from the cache; what is counted never does.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    contracts::Reason,
    db::Tx,
    ids::{RefusalId, TariffId, UserId},
    users,
};

use super::{
    cached_terms::{CachedTerms, Terms},
    hold_promocodes::count_refusal,
    relations::Relations,
};
use crate::{
    domain::{
        batch::{CounterNotLoaded, counters_needed, recounts_users, usage},
        decision::{Decision, Found, HoldRequest, Usage, decide},
        discount::Priced,
        eligibility::Relation,
        masking::mask,
        promocode::{PromocodeCode, as_shown},
        refusal::{MOST_KEPT, RefusedDryRun, WINDOW, is_worth_keeping},
        tariff::is_sold,
    },
    store::{self, refusals::Refusal},
};

/// Where the promocode was refused, for what counts it.
pub(super) const AT: &str = "validation";

/// What a customer asks.
#[derive(Clone, Debug)]
pub(crate) struct ValidatePromocode {
    pub user_id: UserId,
    /// As they typed it.
    pub promocode: String,
    pub tariff_id: TariffId,
}

/// The answer.
#[derive(Clone, Debug)]
pub(crate) enum Validation {
    /// What the tariff would cost.
    Priced { code: PromocodeCode, priced: Priced },
    /// The promocode can't be used.
    Refused {
        /// Why: the customer's copy.
        reasons: Vec<Reason>,
        /// What is to be kept of it; nothing where enough of the kind was kept just now.
        to_keep: Option<Refusal>,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValidatePromocodeError {
    #[error("there is no such tariff")]
    TariffNotFound,
    #[error("the tariff is not sold any more")]
    TariffNotSold,
    #[error(transparent)]
    CounterNotLoaded(#[from] CounterNotLoaded),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Takes no use and no lock: what it says may be otherwise a moment later. `now` is the present.
pub(crate) async fn validate_promocode(
    conn: &impl ConnectionTrait,
    terms: &CachedTerms,
    now: Instant,
    input: &ValidatePromocode,
) -> Result<Validation, ValidatePromocodeError> {
    let Terms {
        tariff,
        user,
        promocode,
    } = terms.find(conn, input).await?;
    let tariff = tariff.ok_or(ValidatePromocodeError::TariffNotFound)?;
    if !is_sold(tariff.status) {
        return Err(ValidatePromocodeError::TariffNotSold);
    }
    let found = promocode
        .as_ref()
        .map(|(promocode, campaign)| Found { promocode, campaign });
    let (usage, relation, has_purchased) = match found {
        Some(found) => count(conn, found, input.user_id).await?,
        None => Default::default(),
    };
    let request = HoldRequest {
        promocode: input.promocode.clone(),
        user_id: input.user_id,
        user_registered_at: user.as_ref().map(|user| user.registered_at),
        has_purchased,
        tariff_id: tariff.id,
        price: tariff.price,
        requested_at: now,
    };
    match (
        decide(&request, found, &usage, relation, user.map(|user| user.status)),
        found,
    ) {
        (Decision::Held(priced), Some(found)) => {
            let code = found.promocode.code.clone();
            Ok(Validation::Priced { code, priced })
        }
        (Decision::Refused(reasons), found) => {
            let masked = mask(&reasons, &as_shown(&input.promocode));
            let refusal = Refusal {
                id: RefusalId::new(now),
                purchase_id: None,
                user_id: input.user_id,
                tariff_id: input.tariff_id,
                promocode: as_shown(&input.promocode),
                found: found.map(|found| (found.promocode.id, found.campaign.id)),
                reasons,
                refused_at: now,
            };
            let is_new = tells_something_new(conn, &refusal).await?;
            if !is_new {
                count_refusal(&refusal.reasons, AT);
            }
            let to_keep = is_new.then_some(refusal);
            Ok(Validation::Refused {
                reasons: masked,
                to_keep,
            })
        }
        // The domain prices nothing that was not found.
        (Decision::Held(_), None) => Err(DbErr::RecordNotFound(input.promocode.clone()).into()),
    }
}

/// Keeps why a promocode was refused, so that an administrator can look it up; and counts it once
/// it is kept, since until then the customer may be told of an error in its place. Of what somebody
/// typed who is deleted by now nothing is kept.
pub(super) async fn keep_refusal(tx: &Tx, refusal: &Refusal) -> Result<(), DbErr> {
    if users::deleted_among(tx.conn(), [refusal.user_id])
        .await?
        .is_empty()
    {
        store::refusals::insert(tx.conn(), std::slice::from_ref(refusal)).await?;
    }
    let reasons = refusal.reasons.clone();
    tx.after_commit(async move { count_refusal(&reasons, AT) });
    Ok(())
}

/// Whether it is to be kept beside what was kept of this user's dry runs just now.
async fn tells_something_new(conn: &impl ConnectionTrait, refusal: &Refusal) -> Result<bool, DbErr> {
    let since = refusal.refused_at - WINDOW;
    let recent = store::refusals::dry_runs_since(conn, refusal.user_id, since, MOST_KEPT as u64).await?;
    let recent: Vec<_> = recent.iter().map(as_dry_run).collect();
    Ok(is_worth_keeping(&as_dry_run(refusal), &recent))
}

fn as_dry_run(refusal: &Refusal) -> RefusedDryRun<'_> {
    RefusedDryRun {
        promocode: &refusal.promocode,
        tariff_id: refusal.tariff_id,
        reasons: &refusal.reasons,
    }
}

/// What the database says that no cache does: what is counted by now (nothing where no use was
/// ever taken), how the user stands to it, and whether they have bought before. Looks only for
/// what the campaign asks for.
async fn count(
    conn: &impl ConnectionTrait,
    found: Found<'_>,
    user: UserId,
) -> Result<(Usage, Relation, bool), ValidatePromocodeError> {
    let needed = counters_needed(found, user);
    let recounted = recounts_users(found.campaign).into_iter().collect();
    let mut counters = store::counters::find(conn, &needed, &recounted).await?;
    for key in needed {
        counters.entry(key).or_default();
    }
    let relations = Relations::load(conn, [(found, user)]).await?;
    let asks = found.campaign.eligibility.first_purchase;
    let has_purchased = asks && store::purchasers::contains(conn, user).await?;
    Ok((
        usage(found, user, &counters)?,
        relations.of(found, user),
        has_purchased,
    ))
}

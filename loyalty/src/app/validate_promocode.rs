//! A dry run: prices a tariff with a promocode and changes nothing. Only a refusal that tells
//! something new is written, so that the others cost no write transaction. Tariffs and users may come
//! from the cache; the promocode, its terms and what is counted never do.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    contracts::Reason,
    db::{Db, Tx},
    ids::{CampaignId, PromocodeId, RefusalId, TariffId, UserId},
    users,
};
use uuid::Uuid;

use super::{
    cached_terms::{CachedTerms, Terms},
    hold_promocodes::count_refusal,
    relations::Relations,
};
use crate::{
    domain::{
        batch::{CounterKey, CounterNotLoaded, recounts_users, usage},
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
    let (usage, relation, has_purchased) = count(conn, found, input.user_id).await?;
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

/// What the database says of what is counted by now (nothing where no use was ever taken), of how the
/// user stands to the promocode, and of whether they have bought before.
///
/// It is asked the same for every promocode, also for one that there is not: a look at what a campaign
/// asks for would take time that tells of codes that are meant for others.
async fn count(
    conn: &impl ConnectionTrait,
    found: Option<Found<'_>>,
    user: UserId,
) -> Result<(Usage, Relation, bool), ValidatePromocodeError> {
    let (promocode, campaign) = match found {
        Some(Found { promocode, campaign }) => (promocode.id, campaign.id),
        None => (PromocodeId(Uuid::nil()), CampaignId(Uuid::nil())),
    };
    let keys = [
        CounterKey::Campaign(campaign),
        CounterKey::Promocode(promocode),
        CounterKey::User(campaign, user),
    ];
    let mut counters = store::counters::find(conn, &keys, &BTreeSet::new()).await?;
    let recounted = found.and_then(|found| recounts_users(found.campaign));
    let nothing = CampaignId(Uuid::nil());
    let taken = store::redemptions::taken_by(conn, recounted.unwrap_or(nothing), &[user]).await?;
    let relations = Relations::load_of(conn, found, user).await?;
    let has_purchased = store::purchasers::contains(conn, user).await?;
    let Some(found) = found else {
        return Ok((Usage::default(), Relation::default(), has_purchased));
    };
    if recounted.is_some() {
        let uses = taken.first().map_or(0, |(_, uses)| *uses);
        counters.entry(CounterKey::User(campaign, user)).or_insert(uses);
    }
    for key in keys {
        counters.entry(key).or_default();
    }
    Ok((
        usage(found, user, &counters)?,
        relations.of(found, user),
        has_purchased,
    ))
}

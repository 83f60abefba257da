//! A dry run: prices a tariff with a promocode and changes nothing. Only a refusal that tells
//! something new is written, so that the others cost no write transaction. Tariffs and users may come
//! from the cache; the promocode, its terms and what is counted never do.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    contracts::{Reason, RefusalCode},
    db::Tx,
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
        batch::{CounterKey, CounterNotLoaded, Counters, counters_needed, recounts_users, usage},
        decision::{Decision, Found, HoldRequest, Usage, Uses, decide, uses_held},
        discount::Priced,
        eligibility::Relation,
        masking::{hides_the_promocode, mask},
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
    let mut counted = count(conn, found, input.user_id).await?;
    let request = HoldRequest {
        promocode: input.promocode.clone(),
        user_id: input.user_id,
        user_registered_at: user.as_ref().map(|user| user.registered_at),
        has_purchased: counted.has_purchased,
        tariff_id: tariff.id,
        price: tariff.price,
        requested_at: now,
        balance: None,
        expected_price: None,
    };
    let status = user.map(|user| user.status);
    let decide = |usage: &Usage, relation| decide(&request, found, usage, relation, status);
    let mut decision = decide(&counted.usage, counted.relation);
    if let (Decision::Refused(reasons), Some(found)) = (&decision, found)
        && is_used_up(reasons)
    {
        counted.usage = look_what_is_held(conn, found, input.user_id, counted.counters).await?;
        decision = decide(&counted.usage, counted.relation);
    }
    // A dry run does not wait.
    if let (Decision::Waits(waits_for), Some(found)) = (&decision, found) {
        decision = Decision::Refused(uses_held(found, &counted.usage, *waits_for));
    }
    match (decision, found) {
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
        // The domain prices nothing that was not found, and holds whatever the wallet of a dry run has.
        (Decision::Held(_) | Decision::NotHeld(..) | Decision::Waits(_), _) => {
            Err(DbErr::RecordNotFound(input.promocode.clone()).into())
        }
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

/// What the database says that no cache does.
#[derive(Default)]
struct Counted {
    /// What is counted by now; nothing where no use was ever taken.
    counters: Counters,
    usage: Usage,
    /// How the user stands to the promocode.
    relation: Relation,
    /// Whether they have bought before.
    has_purchased: bool,
}

/// Looks it up with the same statements for every promocode, also for one that does not exist: a look at
/// only what a campaign asks for would take time that reveals promocodes which are meant for others.
async fn count(
    conn: &impl ConnectionTrait,
    found: Option<Found<'_>>,
    user: UserId,
) -> Result<Counted, ValidatePromocodeError> {
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
        return Ok(Counted {
            has_purchased,
            ..Counted::default()
        });
    };
    if recounted.is_some() {
        let uses = taken.first().map_or(0, |(_, uses)| *uses);
        counters
            .entry(CounterKey::User(campaign, user))
            .or_insert(Uses::taken(uses));
    }
    for key in keys {
        counters.entry(key).or_default();
    }
    Ok(Counted {
        usage: usage(found, user, &counters)?,
        relation: relations.of(found, user),
        has_purchased,
        counters,
    })
}

/// Whether all uses are taken of a promocode that its reader may know of. Of what is meant for others
/// nothing more is read: its answer would come later than that of one that does not exist.
fn is_used_up(reasons: &[Reason]) -> bool {
    let is_limit = |code| matches!(code, RefusalCode::UsesExhausted | RefusalCode::UserLimitReached);
    !hides_the_promocode(reasons) && reasons.iter().any(|reason| is_limit(reason.code))
}

/// The same counts, with which of the uses may come back.
async fn look_what_is_held(
    conn: &impl ConnectionTrait,
    found: Found<'_>,
    user: UserId,
    mut counters: Counters,
) -> Result<Usage, ValidatePromocodeError> {
    let keys = counters_needed(found, user).into_iter().collect();
    store::counters::read_held(conn, &mut counters, [found.campaign], &keys).await?;
    Ok(usage(found, user, &counters)?)
}

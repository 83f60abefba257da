//! Batches: many holds decided one after another, so that a limit of N admits exactly N among
//! them too.

use std::collections::{BTreeMap, HashMap};

use shared::ids::{CampaignId, PromocodeId, PurchaseId, UserId};

use super::{
    campaign::Campaign,
    decision::{Decision, Found, HoldRequest, Usage, Uses, WaitsFor, decide, uses_held},
    eligibility::Relation,
    waiting::WaitingRoom,
};

/// What a count of taken uses is about. The counters of a batch are locked in this order, all at
/// once, so that batches wait for each other in one direction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterKey {
    /// All promocodes of a campaign.
    Campaign(CampaignId),
    /// One promocode.
    Promocode(PromocodeId),
    /// All promocodes of a campaign, by one user.
    User(CampaignId, UserId),
}

/// The uses, by what they are counted for. Sorted: the order to lock in.
pub type Counters = BTreeMap<CounterKey, Uses>;

/// A count that a limit needs was not loaded, so the limit can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the count of uses for {0:?} was not loaded")]
pub struct CounterNotLoaded(pub CounterKey);

/// The counters that a use of `found` by `user_id` is counted in, in their order: those with a
/// limit. An unlimited promocode of an unlimited campaign has none, and takes no lock.
#[must_use]
pub fn counters_needed(found: Found<'_>, user_id: UserId) -> Vec<CounterKey> {
    limits(found, user_id).into_iter().map(|(key, _)| key).collect()
}

/// The same counters, each with the uses that it may count.
#[must_use]
pub fn limits(found: Found<'_>, user_id: UserId) -> Vec<(CounterKey, i64)> {
    let Found { promocode, campaign } = found;
    let limits = [
        (CounterKey::Campaign(campaign.id), campaign.max_redemptions),
        (CounterKey::Promocode(promocode.id), promocode.max_uses),
        (CounterKey::User(campaign.id, user_id), campaign.max_per_user),
    ];
    limits
        .into_iter()
        .filter_map(|(key, limit)| Some((key, limit?)))
        .collect()
}

/// Those of them that count for all promocodes of the campaign.
#[must_use]
pub fn campaign_limits(campaign: &Campaign, user_id: UserId) -> Vec<(CounterKey, i64)> {
    let limits = [
        (CounterKey::Campaign(campaign.id), campaign.max_redemptions),
        (CounterKey::User(campaign.id, user_id), campaign.max_per_user),
    ];
    limits
        .into_iter()
        .filter_map(|(key, limit)| Some((key, limit?)))
        .collect()
}

/// What they say, for showing: what is not there counts nothing.
#[must_use]
pub fn campaign_usage(campaign: &Campaign, user_id: UserId, counters: &Counters) -> Usage {
    let uses = |key| counters.get(&key).copied().unwrap_or_default();
    Usage {
        promocode: Uses::default(),
        campaign: uses(CounterKey::Campaign(campaign.id)),
        user: uses(CounterKey::User(campaign.id, user_id)),
    }
}

/// The campaign, if its users may have taken uses that are in no counter of theirs yet.
#[must_use]
pub fn recounts_users(campaign: &Campaign) -> Option<CampaignId> {
    let counts = campaign.max_per_user.is_some() && campaign.recounted.per_user.is_some();
    counts.then_some(campaign.id)
}

/// What the counters say about a use of `found` by `user_id`.
///
/// # Errors
/// When a counter with a limit is not there (one that counts nothing yet must be there as 0):
/// to guess would be to admit too many.
pub fn usage(found: Found<'_>, user_id: UserId, counters: &Counters) -> Result<Usage, CounterNotLoaded> {
    let mut usage = Usage::default();
    for key in counters_needed(found, user_id) {
        let uses = *counters.get(&key).ok_or(CounterNotLoaded(key))?;
        match key {
            CounterKey::Campaign(_) => usage.campaign = uses,
            CounterKey::Promocode(_) => usage.promocode = uses,
            CounterKey::User(..) => usage.user = uses,
        }
    }
    Ok(usage)
}

/// One hold in a batch. None of its purchases has been decided before the batch.
///
/// Nothing of whether the user may act: billing judges that when it charges. What loyalty knows
/// may be late, and a purchase must not fail because a user's unblocking has not arrived here.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'a> {
    /// For which purchase; decided once however often it comes.
    pub purchase_id: PurchaseId,
    /// What is asked.
    pub request: &'a HoldRequest,
    /// The promocode, if there is such a one.
    pub found: Option<Found<'a>>,
    /// How who asks stands to it.
    pub relation: Relation,
}

/// What became of one hold in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InBatch {
    /// Decided here.
    Decided(Decision),
    /// The purchase was decided by the hold at this place of the batch already.
    RepeatOf(usize),
}

/// The counters under whose limits not every hold can have a use now, each with its limit. Of the others
/// it need not be known which uses may come back, nor which holds wait.
#[must_use]
pub fn contended(holds: &[Hold<'_>], counters: &Counters) -> BTreeMap<CounterKey, i64> {
    let mut asked: BTreeMap<CounterKey, (i64, i64)> = BTreeMap::new();
    for hold in holds {
        let Some(found) = hold.found else { continue };
        for (key, limit) in limits(found, hold.request.user_id) {
            let (_, times) = asked.entry(key).or_insert((limit, 0));
            *times += 1;
        }
    }
    let is_short = |key: &CounterKey, limit: i64, times: i64| {
        let uses = counters.get(key).copied().unwrap_or_default();
        uses.awaited || uses.taken.saturating_add(times) > limit
    };
    asked
        .into_iter()
        .filter(|(key, (limit, times))| is_short(key, *limit, *times))
        .map(|(key, (limit, _))| (key, limit))
        .collect()
}

/// Decides the holds in their order, counts each use that is taken in `counters`, and marks there what
/// waiting holds wait for. A hold that finds no place in `room` is refused.
///
/// # Errors
/// When a counter with a limit is not there; what `counters` then holds is of no use.
pub fn decide_batch(
    holds: &[Hold<'_>],
    counters: &mut Counters,
    room: &mut WaitingRoom,
) -> Result<Vec<InBatch>, CounterNotLoaded> {
    let mut places: HashMap<PurchaseId, usize> = HashMap::with_capacity(holds.len());
    let mut decided = Vec::with_capacity(holds.len());
    for (place, hold) in holds.iter().enumerate() {
        if let Some(first) = places.get(&hold.purchase_id) {
            decided.push(InBatch::RepeatOf(*first));
            continue;
        }
        places.insert(hold.purchase_id, place);
        decided.push(InBatch::Decided(decide_one(hold, counters, room)?));
    }
    Ok(decided)
}

fn decide_one(
    hold: &Hold<'_>,
    counters: &mut Counters,
    room: &mut WaitingRoom,
) -> Result<Decision, CounterNotLoaded> {
    let user_id = hold.request.user_id;
    let Some(found) = hold.found else {
        return Ok(decide(hold.request, None, &Usage::default(), hold.relation, None));
    };
    let usage = usage(found, user_id, counters)?;
    let decision = decide(hold.request, Some(found), &usage, hold.relation, None);
    match decision {
        Decision::Held(_) => {
            for key in counters_needed(found, user_id) {
                let uses = counters.entry(key).or_default();
                uses.taken += 1;
                uses.held += 1;
            }
        }
        Decision::Waits(waits_for) if room.admit(found.campaign.id, user_id) => {
            for key in waited_for(found, user_id, waits_for) {
                counters.entry(key).or_default().awaited = true;
            }
        }
        Decision::Waits(waits_for) => return Ok(Decision::Refused(uses_held(found, &usage, waits_for))),
        Decision::NotHeld(..) | Decision::Refused(_) => {}
    }
    Ok(decision)
}

fn waited_for(found: Found<'_>, user_id: UserId, waits_for: WaitsFor) -> impl Iterator<Item = CounterKey> {
    let keys = counters_needed(found, user_id).into_iter();
    keys.filter(move |key| match key {
        CounterKey::Campaign(_) => waits_for.campaign,
        CounterKey::Promocode(_) => waits_for.promocode,
        CounterKey::User(..) => waits_for.user,
    })
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;

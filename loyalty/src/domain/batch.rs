//! Batches: many holds decided one after another, so that a limit of N admits exactly N among
//! them too.

use std::collections::{BTreeMap, HashMap};

use shared::ids::{CampaignId, PromocodeId, PurchaseId, UserId};

use super::{
    campaign::Campaign,
    decision::{Decision, Found, HoldRequest, Usage, decide},
    eligibility::Relation,
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

/// How many uses are taken, by what they are counted for. Sorted: the order to lock in.
pub type Counters = BTreeMap<CounterKey, i64>;

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
    let used = |key| counters.get(&key).copied().unwrap_or_default();
    Usage {
        promocode_used: 0,
        campaign_used: used(CounterKey::Campaign(campaign.id)),
        user_used: used(CounterKey::User(campaign.id, user_id)),
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
        let used = *counters.get(&key).ok_or(CounterNotLoaded(key))?;
        match key {
            CounterKey::Campaign(_) => usage.campaign_used = used,
            CounterKey::Promocode(_) => usage.promocode_used = used,
            CounterKey::User(..) => usage.user_used = used,
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

/// Decides the holds in their order, and counts each use that is taken in `counters`.
///
/// # Errors
/// When a counter with a limit is not there; what `counters` then holds is of no use.
pub fn decide_batch(holds: &[Hold<'_>], counters: &mut Counters) -> Result<Vec<InBatch>, CounterNotLoaded> {
    let mut places: HashMap<PurchaseId, usize> = HashMap::with_capacity(holds.len());
    let mut decided = Vec::with_capacity(holds.len());
    for (place, hold) in holds.iter().enumerate() {
        if let Some(first) = places.get(&hold.purchase_id) {
            decided.push(InBatch::RepeatOf(*first));
            continue;
        }
        places.insert(hold.purchase_id, place);
        decided.push(InBatch::Decided(decide_one(hold, counters)?));
    }
    Ok(decided)
}

fn decide_one(hold: &Hold<'_>, counters: &mut Counters) -> Result<Decision, CounterNotLoaded> {
    let user_id = hold.request.user_id;
    let usage = match hold.found {
        Some(found) => usage(found, user_id, counters)?,
        None => Usage::default(),
    };
    let decision = decide(hold.request, hold.found, &usage, hold.relation, None);
    if let (Decision::Held(_), Some(found)) = (&decision, hold.found) {
        for key in counters_needed(found, user_id) {
            *counters.entry(key).or_default() += 1;
        }
    }
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use shared::{ids::TariffId, money::Amount};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        campaign::{CampaignStatus, Recounted, RefundPolicy},
        discount::Discount,
        eligibility::Eligibility,
        promocode::{Promocode, PromocodeCode},
    };

    fn campaign(number: usize, max_redemptions: Option<i64>, max_per_user: Option<i64>) -> Campaign {
        Campaign {
            id: CampaignId(Uuid::from_u128(number as u128)),
            version: 1,
            name: format!("Campaign {number}"),
            title: None,
            discount: Discount::Free {},
            starts_at: None,
            ends_at: None,
            timezone: None,
            status: CampaignStatus::Active,
            max_redemptions,
            max_per_user,
            eligibility: Eligibility::default(),
            requires_grant: false,
            listed: false,
            refund_policy: RefundPolicy::default(),
            recounted: Recounted::default(),
        }
    }

    fn promocode(number: usize, campaign: &Campaign, max_uses: Option<i64>) -> Promocode {
        Promocode {
            id: PromocodeId(Uuid::from_u128(number as u128)),
            campaign_id: campaign.id,
            code: PromocodeCode::parse(&format!("CODE-{number}")).unwrap(),
            max_uses,
            disabled: false,
            version: 1,
        }
    }

    fn request(user: usize) -> HoldRequest {
        HoldRequest {
            promocode: String::new(),
            user_id: UserId(Uuid::from_u128(user as u128)),
            user_registered_at: None,
            has_purchased: false,
            tariff_id: TariffId(Uuid::nil()),
            price: Amount(1_000),
            requested_at: DateTime::UNIX_EPOCH,
        }
    }

    fn hold<'a>(purchase: usize, request: &'a HoldRequest, found: Found<'a>) -> Hold<'a> {
        Hold {
            purchase_id: PurchaseId(Uuid::from_u128(purchase as u128)),
            request,
            found: Some(found),
            relation: Relation::default(),
        }
    }

    /// All counters that the holds need, at 0.
    fn counters_at_zero(holds: &[Hold<'_>]) -> Counters {
        let keys = holds
            .iter()
            .filter_map(|hold| Some((hold.found?, hold.request.user_id)));
        keys.flat_map(|(found, user)| counters_needed(found, user))
            .map(|key| (key, 0))
            .collect()
    }

    fn is_held(decided: &InBatch) -> bool {
        matches!(decided, InBatch::Decided(Decision::Held(_)))
    }

    #[test]
    fn an_unlimited_promocode_takes_no_lock() {
        let (free, limited) = (campaign(1, None, None), campaign(2, Some(9), Some(1)));
        let user = UserId(Uuid::nil());
        let needed = |campaign: &Campaign, max_uses| {
            let promocode = promocode(3, campaign, max_uses);
            let found = Found {
                promocode: &promocode,
                campaign,
            };
            counters_needed(found, user)
        };
        assert_eq!(needed(&free, None), []);
        let code = CounterKey::Promocode(PromocodeId(Uuid::from_u128(3)));
        assert_eq!(needed(&free, Some(1)), [code]);
        let all = needed(&limited, Some(1));
        assert_eq!(
            all,
            [
                CounterKey::Campaign(limited.id),
                code,
                CounterKey::User(limited.id, user)
            ]
        );
        assert!(all.is_sorted());
    }

    #[test]
    fn a_one_time_promocode_is_held_once_in_a_batch_and_counted_once_for_a_purchase() {
        let campaign = campaign(1, None, None);
        let promocode = promocode(1, &campaign, Some(1));
        let found = Found {
            promocode: &promocode,
            campaign: &campaign,
        };
        let (ann, bob) = (request(1), request(2));
        let holds = [hold(7, &ann, found), hold(8, &bob, found), hold(7, &ann, found)];
        let mut counters = counters_at_zero(&holds);
        let decided = decide_batch(&holds, &mut counters).unwrap();
        assert!(is_held(&decided[0]));
        assert!(matches!(decided[1], InBatch::Decided(Decision::Refused(_))));
        assert_eq!(decided[2], InBatch::RepeatOf(0));
        assert_eq!(counters[&CounterKey::Promocode(promocode.id)], 1);
    }

    #[test]
    fn a_limit_whose_count_was_not_loaded_is_an_error_not_a_zero() {
        let campaign = campaign(1, Some(1), None);
        let promocode = promocode(1, &campaign, None);
        let found = Found {
            promocode: &promocode,
            campaign: &campaign,
        };
        let ann = request(1);
        let result = decide_batch(&[hold(1, &ann, found)], &mut Counters::new());
        assert_eq!(result, Err(CounterNotLoaded(CounterKey::Campaign(campaign.id))));
    }

    #[test]
    fn unknown_promocodes_in_a_batch_count_nothing() {
        let campaign = campaign(1, Some(1), None);
        let promocode = promocode(1, &campaign, None);
        let found = Found {
            promocode: &promocode,
            campaign: &campaign,
        };
        let ann = request(1);
        let unknown = Hold {
            found: None,
            ..hold(1, &ann, found)
        };
        let holds = [unknown, hold(2, &ann, found)];
        let mut counters = counters_at_zero(&holds);
        let decided = decide_batch(&holds, &mut counters).unwrap();
        let held: Vec<_> = decided.iter().map(is_held).collect();
        assert_eq!(held, [false, true]);
    }

    fn limit() -> impl Strategy<Value = Option<i64>> {
        prop::option::of(1..6_i64)
    }

    proptest! {
        #[test]
        fn mixed_shared_limits_admit_exactly_as_many_as_they_allow(
            terms in prop::collection::vec((limit(), limit()), 1..4),
            codes in prop::collection::vec((any::<usize>(), limit()), 1..6),
            asked in prop::collection::vec((any::<usize>(), 0..5_usize, 0..40_usize), 0..60),
            batch_size in 1..20_usize,
        ) {
            let campaigns: Vec<_> =
                terms.iter().enumerate().map(|(n, (total, user))| campaign(n, *total, *user)).collect();
            let codes: Vec<_> = codes.iter().enumerate().map(|(n, (campaign, max_uses))| {
                let campaign = &campaigns[campaign % campaigns.len()];
                (promocode(n, campaign, *max_uses), campaign)
            }).collect();
            let requests: Vec<_> = asked.iter().map(|(_, user, _)| request(*user)).collect();
            // A purchase is one user's and has one promocode: its first line says which.
            let mut holds: Vec<Hold<'_>> = Vec::new();
            for ((code, _, purchase), request) in asked.iter().zip(&requests) {
                let (promocode, campaign) = &codes[code % codes.len()];
                let new = hold(*purchase, request, Found { promocode, campaign });
                let same = holds.iter().find(|hold| hold.purchase_id == new.purchase_id);
                holds.push(same.copied().unwrap_or(new));
            }

            let mut counters = counters_at_zero(&holds);
            let mut admitted: Vec<Hold<'_>> = Vec::new();
            let mut known: Vec<PurchaseId> = Vec::new();
            for batch in holds.chunks(batch_size) {
                // What the application does: purchases of earlier batches have their answer.
                let fresh: Vec<_> =
                    batch.iter().filter(|hold| !known.contains(&hold.purchase_id)).copied().collect();
                let decided = decide_batch(&fresh, &mut counters).unwrap();
                prop_assert_eq!(decided.len(), fresh.len());
                for (hold, decided) in fresh.iter().zip(&decided) {
                    // The plain count of what was admitted so far, by a second way.
                    let (promocode, campaign) =
                        hold.found.map(|found| (found.promocode, found.campaign)).unwrap();
                    let count = |counts: &dyn Fn(&Hold<'_>) -> bool| {
                        i64::try_from(admitted.iter().filter(|other| counts(other)).count()).unwrap()
                    };
                    let by_code = count(&|other| other.found.unwrap().promocode.id == promocode.id);
                    let by_campaign = count(&|other| other.found.unwrap().campaign.id == campaign.id);
                    let by_user = count(&|other| other.found.unwrap().campaign.id == campaign.id
                        && other.request.user_id == hold.request.user_id);
                    let room = |limit: Option<i64>, used| limit.is_none_or(|limit| used < limit);
                    let free = room(promocode.max_uses, by_code)
                        && room(campaign.max_redemptions, by_campaign)
                        && room(campaign.max_per_user, by_user);
                    if known.contains(&hold.purchase_id) {
                        prop_assert!(matches!(decided, InBatch::RepeatOf(_)));
                        continue;
                    }
                    known.push(hold.purchase_id);
                    prop_assert_eq!(is_held(decided), free);
                    if free {
                        admitted.push(*hold);
                    }
                }
            }
            for (key, used) in counters {
                let counted = admitted.iter().filter(|hold| {
                    counters_needed(hold.found.unwrap(), hold.request.user_id).contains(&key)
                });
                prop_assert_eq!(i64::try_from(counted.count()).unwrap(), used);
            }
        }
    }
}

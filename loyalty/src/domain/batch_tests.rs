//! Tests of [`super`].

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
        balance: None,
        expected_price: None,
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
        .map(|key| (key, Uses::default()))
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
    let decided = decide_batch(&holds, &mut counters, &mut WaitingRoom::default()).unwrap();
    assert!(is_held(&decided[0]));
    assert!(
        matches!(decided[1], InBatch::Decided(Decision::Waits(_))),
        "the use may come back"
    );
    assert_eq!(decided[2], InBatch::RepeatOf(0));
    assert_eq!(counters[&CounterKey::Promocode(promocode.id)].taken, 1);
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
    let result = decide_batch(
        &[hold(1, &ann, found)],
        &mut Counters::new(),
        &mut WaitingRoom::default(),
    );
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
    let decided = decide_batch(&holds, &mut counters, &mut WaitingRoom::default()).unwrap();
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
            let decided = decide_batch(&fresh, &mut counters, &mut WaitingRoom::default()).unwrap();
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
        for (key, uses) in counters {
            let counted = admitted.iter().filter(|hold| {
                counters_needed(hold.found.unwrap(), hold.request.user_id).contains(&key)
            });
            prop_assert_eq!(i64::try_from(counted.count()).unwrap(), uses.taken);
        }
    }
}

/// A small model of loyalty: what is held, confirmed and waiting.
struct Shop<'a> {
    counters: Counters,
    held: Vec<Hold<'a>>,
    confirmed: Vec<Hold<'a>>,
    waiting: Vec<Hold<'a>>,
    failed: usize,
    refused: usize,
}

impl<'a> Shop<'a> {
    fn keys(hold: &Hold<'a>) -> Vec<CounterKey> {
        counters_needed(hold.found.unwrap(), hold.request.user_id)
    }

    fn taken(of: &[Hold<'a>], key: CounterKey) -> i64 {
        let count = of.iter().filter(|hold| Self::keys(hold).contains(&key)).count();
        i64::try_from(count).unwrap()
    }

    /// The counters as the database has them, and the marks that the queue makes.
    fn look(&mut self, is_queue: bool) {
        let awaited: Vec<_> = self
            .waiting
            .iter()
            .flat_map(|hold| self.waits_for(hold))
            .collect();
        for (key, uses) in &mut self.counters {
            let held = Self::taken(&self.held, *key);
            uses.taken = held + Self::taken(&self.confirmed, *key);
            uses.held = held;
            uses.awaited = !is_queue && awaited.contains(key);
        }
    }

    /// The counters of `hold` that are full.
    fn waits_for(&self, hold: &Hold<'a>) -> Vec<CounterKey> {
        let full = limits(hold.found.unwrap(), hold.request.user_id).into_iter();
        let full = full.filter(|(key, limit)| {
            Self::taken(&self.held, *key) + Self::taken(&self.confirmed, *key) >= *limit
        });
        full.map(|(key, _)| key).collect()
    }

    /// Decides a batch: newcomers behind the queue, or the queue itself.
    fn decide(&mut self, holds: &[Hold<'a>], is_queue: bool) -> Result<(), TestCaseError> {
        self.look(is_queue);
        let mut counters = self.counters.clone();
        let decisions = decide_batch(holds, &mut counters, &mut WaitingRoom::endless()).unwrap();
        for (hold, decision) in holds.iter().zip(decisions) {
            let InBatch::Decided(decision) = decision else {
                continue;
            };
            match decision {
                Decision::Held(_) => {
                    let passed = self.waiting.iter().filter(|_| !is_queue);
                    for waiting in passed {
                        let blocked = self.waits_for(waiting);
                        let shares = Self::keys(hold).iter().any(|key| blocked.contains(key));
                        prop_assert!(!shares, "no newcomer passes a waiting hold");
                    }
                    self.held.push(*hold);
                }
                Decision::Waits(_) => {
                    prop_assert!(is_queue || !self.waits_for(hold).is_empty() || !self.waiting.is_empty());
                    self.waiting.push(*hold);
                }
                Decision::Refused(reasons) => {
                    let gone = limits(hold.found.unwrap(), hold.request.user_id)
                        .into_iter()
                        .any(|(key, limit)| Self::taken(&self.confirmed, key) >= limit);
                    prop_assert!(gone, "refused for good, though uses may come back: {:?}", reasons);
                    self.refused += 1;
                }
                Decision::NotHeld(..) => prop_assert!(false, "no wallet is asked for"),
            }
        }
        for (key, uses) in counters {
            let taken = Self::taken(&self.held, key) + Self::taken(&self.confirmed, key);
            prop_assert_eq!(uses.taken, taken);
        }
        Ok(())
    }

    fn decide_queue(&mut self) -> Result<(), TestCaseError> {
        let waiting = std::mem::take(&mut self.waiting);
        let before = self.held.len();
        self.decide(&waiting, true)?;
        let order: Vec<_> = self.held[before..].iter().map(|hold| hold.purchase_id).collect();
        let places = order
            .iter()
            .map(|id| waiting.iter().position(|hold| hold.purchase_id == *id));
        prop_assert!(places.collect::<Vec<_>>().is_sorted(), "in the order of arrival");
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_waiting_hold_gets_a_use_or_is_refused_for_confirmed_uses_alone(
        total in limit(), per_user in limit(), of_codes in prop::collection::vec(limit(), 1..3),
        steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>(), 0..3_usize, 0..3_usize), 1..80),
    ) {
        let campaign = campaign(1, total, per_user);
        let codes: Vec<_> = of_codes
            .iter()
            .enumerate()
            .map(|(number, uses)| promocode(number, &campaign, *uses))
            .collect();
        let requests: Vec<_> = (0..3).map(request).collect();
        let all: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(number, (_, _, user, code))| {
                let promocode = &codes[code % codes.len()];
                hold(number, &requests[*user], Found { promocode, campaign: &campaign })
            })
            .collect();
        let mut shop = Shop {
            counters: counters_at_zero(&all),
            held: Vec::new(),
            confirmed: Vec::new(),
            waiting: Vec::new(),
            failed: 0,
            refused: 0,
        };
        let mut asked = 0;
        for ((kind, which, ..), new) in steps.iter().zip(&all) {
            match kind {
                0 | 1 => {
                    asked += 1;
                    shop.decide(std::slice::from_ref(new), false)?;
                }
                _ if shop.held.is_empty() => {}
                _ => {
                    let hold = shop.held.swap_remove(which.index(shop.held.len()));
                    if *kind == 2 {
                        shop.confirmed.push(hold);
                    } else {
                        shop.failed += 1;
                    }
                    shop.decide_queue()?;
                }
            }
        }
        // In the end all that hold pay.
        while let Some(hold) = shop.held.pop() {
            shop.confirmed.push(hold);
            shop.decide_queue()?;
        }
        prop_assert!(shop.waiting.is_empty(), "no hold is forgotten: {:?}", shop.waiting.len());
        prop_assert_eq!(shop.confirmed.len() + shop.failed + shop.refused, asked);
    }
}

//! Shows users which promocodes they may use now, and what each makes of every price.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    contracts::UserStatus,
    ids::{CampaignId, TariffId, UserId},
    users::{self, entity::Model as User},
};
use uuid::Uuid;

use super::{Part, relations::Relations};
use crate::{
    domain::{
        batch::{
            CounterNotLoaded, Counters, campaign_limits, campaign_usage, counters_needed, limits,
            recounts_users, usage,
        },
        campaign::Campaign,
        decision::{Decision, Found, HoldRequest, campaign_admits, decide},
        discount::Priced,
        eligibility::Relation,
        promocode::Promocode,
    },
    store::{
        self,
        promocodes::{KeptPromocode, Shown},
        tariffs::Tariff,
    },
};

/// Promocodes that are looked at together, in a handful of statements.
const BATCH: u64 = 200;

/// How often that is done for a page: what is found until then is all that it has.
const ROUNDS: usize = 5;

/// The most tariffs whose prices are told of a promocode.
const MOST_PRICES: usize = 20;

/// A promocode that can be used.
#[derive(Clone, Debug)]
pub(crate) struct UsablePromocode {
    pub kept: KeptPromocode,
    pub campaign: Campaign,
    /// Uses that are left for the user; none is unlimited.
    pub uses_left: Option<i64>,
    /// What tariffs would cost that it can be used for; never empty.
    pub prices: Vec<(TariffId, Priced)>,
    /// Whether it can be used for more tariffs than these.
    pub has_more_prices: bool,
}

impl Asking {
    /// What is known of whether they may act.
    fn status(&self) -> Option<UserStatus> {
        self.known.as_ref().map(|user| user.status)
    }

    /// What a purchase of each tariff would ask.
    fn requests(&self) -> impl Iterator<Item = HoldRequest> {
        self.sold.iter().map(|tariff| HoldRequest {
            // Whichever it is.
            promocode: String::new(),
            user_id: self.id,
            user_registered_at: self.known.as_ref().map(|user| user.registered_at),
            has_purchased: self.has_purchased,
            tariff_id: tariff.id,
            price: tariff.price,
            requested_at: self.now,
            balance: None,
            expected_price: None,
        })
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsablePromocodes {
    pub items: Vec<UsablePromocode>,
    /// Behind which promocode to look for more; none if there are no more.
    pub next: Option<(Instant, Uuid)>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadUsablePromocodesError {
    #[error(transparent)]
    CounterNotLoaded(#[from] CounterNotLoaded),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What is known of who asks.
struct Asking {
    id: UserId,
    known: Option<User>,
    has_purchased: bool,
    now: Instant,
    sold: Vec<Tariff>,
}

/// Promocodes of listed campaigns and granted ones, newest first, as far as they pass every
/// condition for at least one tariff, or for `tariff` if one is named. `now` is the present.
///
/// Campaigns are judged first, so that only those promocodes are looked at of which none but their
/// own limit and switch are in question; and of them so many for a page, which therefore may have
/// fewer than it could, or none, though there are more.
pub(crate) async fn read_usable_promocodes(
    conn: &impl ConnectionTrait,
    user: UserId,
    tariff: Option<TariffId>,
    now: Instant,
    part: Part,
) -> Result<UsablePromocodes, ReadUsablePromocodesError> {
    let mut sold = store::tariffs::sold(conn).await?;
    sold.retain(|sold| tariff.is_none_or(|tariff| sold.id == tariff));
    let asking = Asking {
        id: user,
        known: users::find(conn, user).await?,
        has_purchased: store::purchasers::contains(conn, user).await?,
        now,
        sold,
    };
    let campaigns = store::campaigns::running_for(conn, user, now).await?;
    let shown = shown_of(conn, &asking, &campaigns).await?;
    let limit = usize::try_from(part.limit).unwrap_or(usize::MAX);
    let mut items: Vec<UsablePromocode> = Vec::new();
    let mut next = part.after;
    for _ in 0..ROUNDS {
        let looked_at = store::promocodes::find_shown(conn, &shown, next, BATCH).await?;
        let is_last = (looked_at.len() as u64) < BATCH;
        next = looked_at.last().map(position);
        for found in usable_of(conn, &asking, &campaigns, looked_at).await? {
            if items.len() == limit {
                let next = items.last().map(|last| position(&last.kept));
                return Ok(UsablePromocodes { items, next });
            }
            items.push(found);
        }
        if is_last {
            next = None;
            break;
        }
    }
    Ok(UsablePromocodes { items, next })
}

fn position(kept: &KeptPromocode) -> (Instant, Uuid) {
    (kept.created_at, kept.promocode.id.0)
}

/// Which promocodes are worth a look: all of a listed campaign that admits whoever asks, and what
/// is granted of one that admits them with a grant.
async fn shown_of(
    conn: &impl ConnectionTrait,
    asking: &Asking,
    campaigns: &HashMap<CampaignId, Campaign>,
) -> Result<Shown, ReadUsablePromocodesError> {
    let asks_for_groups = campaigns.values().any(Campaign::asks_for_groups);
    let memberships = if asks_for_groups {
        store::groups::memberships(conn, &[asking.id].into()).await?
    } else {
        HashSet::new()
    };
    let needed: Vec<_> = campaigns
        .values()
        .flat_map(|campaign| campaign_limits(campaign, asking.id))
        .map(|(key, _)| key)
        .collect();
    let recounted = campaigns.values().filter_map(recounts_users).collect();
    let counters = store::counters::find(conn, &needed, &recounted).await?;
    let mut shown = Shown {
        user: asking.id,
        all_of: Vec::new(),
        granted_of: Vec::new(),
    };
    for campaign in campaigns.values() {
        let usage = campaign_usage(campaign, asking.id, &counters);
        let mut groups = campaign.eligibility.groups.iter();
        let in_group = groups.any(|group| memberships.contains(&(*group, asking.id)));
        let admits = |granted| {
            let relation = Relation { in_group, granted };
            let admits =
                |request: &HoldRequest| campaign_admits(request, campaign, &usage, relation, asking.status());
            asking.requests().any(|request| admits(&request))
        };
        if campaign.listed && admits(false) {
            shown.all_of.push(campaign.id);
        } else if admits(true) {
            shown.granted_of.push(campaign.id);
        }
    }
    Ok(shown)
}

/// Those of them that can be used.
async fn usable_of(
    conn: &impl ConnectionTrait,
    asking: &Asking,
    campaigns: &HashMap<CampaignId, Campaign>,
    looked_at: Vec<KeptPromocode>,
) -> Result<Vec<UsablePromocode>, ReadUsablePromocodesError> {
    let all = || {
        looked_at
            .iter()
            .filter_map(|kept| in_campaign(campaigns, &kept.promocode))
    };
    let relations = Relations::load(conn, all().map(|found| (Some(found), asking.id))).await?;
    let needed: BTreeSet<_> = all()
        .flat_map(|found| counters_needed(found, asking.id))
        .collect();
    let needed: Vec<_> = needed.into_iter().collect();
    let recounted = all().filter_map(|found| recounts_users(found.campaign)).collect();
    let mut counters = store::counters::find(conn, &needed, &recounted).await?;
    for key in needed {
        counters.entry(key).or_default();
    }
    let mut usable = Vec::new();
    for kept in &looked_at {
        let Some(found) = in_campaign(campaigns, &kept.promocode) else {
            continue;
        };
        if !found.promocode.code.is_typeable() {
            continue;
        }
        let mut prices = prices_of(asking, found, &relations, &counters)?;
        if !prices.is_empty() {
            let has_more_prices = prices.len() > MOST_PRICES;
            prices.truncate(MOST_PRICES);
            usable.push(UsablePromocode {
                kept: kept.clone(),
                campaign: found.campaign.clone(),
                uses_left: uses_left(found, asking.id, &counters),
                prices,
                has_more_prices,
            });
        }
    }
    Ok(usable)
}

fn in_campaign<'a>(
    campaigns: &'a HashMap<CampaignId, Campaign>,
    promocode: &'a Promocode,
) -> Option<Found<'a>> {
    let campaign = campaigns.get(&promocode.campaign_id)?;
    Some(Found { promocode, campaign })
}

/// Asks as a purchase of each tariff would, until there are more prices than are told.
fn prices_of(
    asking: &Asking,
    found: Found<'_>,
    relations: &Relations,
    counters: &Counters,
) -> Result<Vec<(TariffId, Priced)>, CounterNotLoaded> {
    let usage = usage(found, asking.id, counters)?;
    let relation = relations.of(found, asking.id);
    let prices = asking.requests().filter_map(|request| {
        match decide(&request, Some(found), &usage, relation, asking.status()) {
            Decision::Held(priced) => Some((request.tariff_id, priced)),
            Decision::NotHeld(..) | Decision::Waits(_) | Decision::Refused(_) => None,
        }
    });
    Ok(prices.take(MOST_PRICES + 1).collect())
}

/// The least that any limit leaves.
fn uses_left(found: Found<'_>, user: UserId, counters: &Counters) -> Option<i64> {
    let left = limits(found, user).into_iter().map(|(key, limit)| {
        let uses = counters.get(&key).copied().unwrap_or_default();
        limit.saturating_sub(uses.taken)
    });
    left.min()
}

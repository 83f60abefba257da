//! Shows users which promocodes they may use now, and what each makes of every price.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    ids::{CampaignId, TariffId, UserId},
    money::Amount,
    users::{self, entity::Model as User},
};
use uuid::Uuid;

use super::{Part, relations::Relations};
use crate::{
    domain::{
        batch::{CounterNotLoaded, Counters, counters_needed, limits, usage},
        campaign::Campaign,
        decision::{Decision, Found, HoldRequest, decide},
        discount::Priced,
        promocode::Promocode,
    },
    store::{self, promocodes::KeptPromocode, tariffs::Tariff},
};

/// Promocodes that are looked at together, in a handful of statements.
const BATCH: u64 = 200;

/// A promocode that can be used.
#[derive(Clone, Debug)]
pub(crate) struct UsablePromocode {
    pub kept: KeptPromocode,
    pub campaign: Campaign,
    /// Uses that are left for the user; none is unlimited.
    pub uses_left: Option<i64>,
    /// What each tariff would cost that it can be used for; never empty.
    pub prices: Vec<(TariffId, Priced)>,
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
/// condition for at least one tariff. `now` is the present.
pub(crate) async fn read_usable_promocodes(
    conn: &impl ConnectionTrait,
    user: UserId,
    now: Instant,
    part: Part,
) -> Result<Vec<UsablePromocode>, ReadUsablePromocodesError> {
    let asking = Asking {
        id: user,
        known: users::find(conn, user).await?,
        has_purchased: store::purchasers::contains(conn, user).await?,
        now,
        sold: store::tariffs::sold(conn).await?,
    };
    let wanted = usize::try_from(part.limit)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let mut usable = Vec::new();
    let mut after = part.after;
    loop {
        let shown = store::promocodes::shown_to(conn, user, now, after, BATCH).await?;
        let is_last = (shown.len() as u64) < BATCH;
        after = shown.last().map(|last| (last.created_at, last.promocode.id.0));
        for found in usable_of(conn, &asking, shown).await? {
            usable.push(found);
            if usable.len() == wanted {
                return Ok(usable);
            }
        }
        if is_last {
            return Ok(usable);
        }
    }
}

/// Those of them that can be used.
async fn usable_of(
    conn: &impl ConnectionTrait,
    asking: &Asking,
    shown: Vec<KeptPromocode>,
) -> Result<Vec<UsablePromocode>, ReadUsablePromocodesError> {
    let campaigns = shown.iter().map(|kept| kept.promocode.campaign_id);
    let campaigns = store::campaigns::find_many(conn, campaigns).await?;
    let all = || {
        shown
            .iter()
            .filter_map(|kept| in_campaign(&campaigns, &kept.promocode))
    };
    let relations = Relations::load(conn, all().map(|found| (found, asking.id))).await?;
    let needed: Vec<_> = all()
        .flat_map(|found| counters_needed(found, asking.id))
        .collect();
    let mut counters = store::counters::find(conn, &needed).await?;
    for key in needed {
        counters.entry(key).or_default();
    }
    let mut usable = Vec::new();
    for kept in &shown {
        let Some(found) = in_campaign(&campaigns, &kept.promocode) else {
            continue;
        };
        let prices = prices_of(asking, found, &relations, &counters)?;
        if !prices.is_empty() {
            usable.push(UsablePromocode {
                kept: kept.clone(),
                campaign: found.campaign.clone(),
                uses_left: uses_left(found, asking.id, &counters),
                prices,
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

/// Asks as a purchase of each tariff would.
fn prices_of(
    asking: &Asking,
    found: Found<'_>,
    relations: &Relations,
    counters: &Counters,
) -> Result<Vec<(TariffId, Priced)>, CounterNotLoaded> {
    let usage = usage(found, asking.id, counters)?;
    let relation = relations.of(found, asking.id);
    let known = asking.known.as_ref();
    let mut request = HoldRequest {
        promocode: found.promocode.code.as_str().to_owned(),
        user_id: asking.id,
        user_registered_at: known.map(|user| user.registered_at),
        has_purchased: asking.has_purchased,
        tariff_id: TariffId(Uuid::nil()),
        price: Amount::ZERO,
        requested_at: asking.now,
    };
    let prices = asking.sold.iter().filter_map(|tariff| {
        (request.tariff_id, request.price) = (tariff.id, tariff.price);
        match decide(
            &request,
            Some(found),
            &usage,
            relation,
            known.map(|user| user.status),
        ) {
            Decision::Held(priced) => Some((tariff.id, priced)),
            Decision::Refused(_) => None,
        }
    });
    Ok(prices.collect())
}

/// The least that any limit leaves.
fn uses_left(found: Found<'_>, user: UserId, counters: &Counters) -> Option<i64> {
    let left = limits(found, user).into_iter().map(|(key, limit)| {
        let used = counters.get(&key).copied().unwrap_or(0);
        limit.saturating_sub(used)
    });
    left.min()
}

//! Holds of promocodes that read as unknown to their buyers.
//!
//! The database is asked the same about a promocode that does not exist and about one that is meant for
//! others, so that the time of an answer does not reveal the latter. Neither takes a use: no count is
//! locked for them, and nothing waits.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use shared::{
    db::Tx,
    ids::{CampaignId, PromocodeId, UserId},
};
use uuid::Uuid;

use super::{HoldPromocodesError, asked::Line};
use crate::{
    domain::{
        batch::{CounterKey, Counters, InBatch, recounts_users, usage},
        decision::{Usage, Uses, decide, is_unknown_to},
    },
    store,
};

/// What stands for a promocode and a campaign that do not exist.
const NOTHING: Uuid = Uuid::nil();

/// Takes the lines out of `lines` whose promocodes read as unknown, and refuses them: each purchase once,
/// with all that is in the way, for administrators.
pub(super) async fn refuse_unknown<'a>(
    tx: &Tx,
    lines: &mut Vec<Line<'a>>,
) -> Result<Vec<(Line<'a>, InBatch)>, HoldPromocodesError> {
    let is_unknown =
        |line: &mut Line<'_>| is_unknown_to(line.hold.request, line.hold.found, line.hold.relation);
    let mut unknown: Vec<_> = lines.extract_if(.., is_unknown).collect();
    let mut known = HashSet::new();
    unknown.retain(|line| known.insert(line.command.purchase_id));
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let counters = counters_of(tx, &unknown).await?;
    unknown
        .into_iter()
        .map(|line| {
            let hold = line.hold;
            let usage = match hold.found {
                Some(found) => usage(found, hold.request.user_id, &counters)?,
                None => Usage::default(),
            };
            let decision = decide(hold.request, hold.found, &usage, hold.relation, None);
            Ok((line, InBatch::Decided(decision)))
        })
        .collect()
}

/// All counts of these promocodes as they are at this moment, also those without a limit.
async fn counters_of(tx: &Tx, lines: &[Line<'_>]) -> Result<Counters, HoldPromocodesError> {
    let mut keys = BTreeSet::new();
    let mut recounted: BTreeMap<CampaignId, BTreeSet<UserId>> = BTreeMap::new();
    for line in lines {
        let (found, user) = (line.hold.found, line.hold.request.user_id);
        let promocode = found.map_or(PromocodeId(NOTHING), |found| found.promocode.id);
        let campaign = found.map_or(CampaignId(NOTHING), |found| found.campaign.id);
        keys.extend([
            CounterKey::Campaign(campaign),
            CounterKey::Promocode(promocode),
            CounterKey::User(campaign, user),
        ]);
        let of = found.and_then(|found| recounts_users(found.campaign));
        recounted
            .entry(of.unwrap_or(CampaignId(NOTHING)))
            .or_default()
            .insert(user);
    }
    let keys: Vec<_> = keys.into_iter().collect();
    let mut counters = store::counters::find(tx.conn(), &keys, &BTreeSet::new()).await?;
    for (campaign, users) in recounted {
        let users: Vec<_> = users.into_iter().collect();
        for (user, uses) in store::redemptions::taken_by(tx.conn(), campaign, &users).await? {
            counters
                .entry(CounterKey::User(campaign, user))
                .or_insert(Uses::taken(uses));
        }
    }
    for key in keys {
        counters.entry(key).or_default();
    }
    Ok(counters)
}

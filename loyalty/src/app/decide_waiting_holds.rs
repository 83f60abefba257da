//! Decides holds that wait for uses which others hold.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use iso_currency::Currency;
use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    db::Tx,
    ids::{CampaignId, PurchaseId},
};
use tokio::sync::Notify;

use super::hold_promocodes::{Asked, HoldPromocodesError, Outcome, limits_of};
use crate::{
    app::relations::Relations,
    domain::{
        batch::{Counters, InBatch, contended, decide_batch, limits, recounts_users},
        campaign::Campaign,
        decision::{Decision, Found, Uses},
        waiting::WaitingRoom,
    },
    store::{
        self,
        waiting_holds::{Place, WaitingHold},
    },
};

/// Wakes what decides waiting holds, in this process. What other replicas leave is found by looking
/// from time to time.
#[derive(Clone, Default)]
pub(crate) struct WaitingHolds(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether any waited at the last look.
    any: AtomicBool,
    changed: Notify,
}

impl WaitingHolds {
    /// Once `tx` has committed, holds wait of which some may be decided at once.
    pub fn enqueued(&self, tx: &Tx) {
        let inner = Arc::clone(&self.0);
        tx.after_commit(async move {
            inner.any.store(true, Ordering::Relaxed);
            inner.changed.notify_one();
        });
    }

    /// Once `tx` has committed, uses have come back or are confirmed.
    pub fn settled(&self, tx: &Tx) {
        let inner = Arc::clone(&self.0);
        tx.after_commit(async move {
            if inner.any.load(Ordering::Relaxed) {
                inner.changed.notify_one();
            }
        });
    }

    /// Notes whether any wait.
    pub fn saw(&self, any: bool) {
        self.0.any.store(any, Ordering::Relaxed);
    }

    /// Returns when something has changed, at the latest after `longest`.
    pub async fn changed(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.changed.notified()).await;
    }
}

/// How many wait, and the campaigns of which one may be decided by now.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub waiting: usize,
    pub ripe: BTreeSet<CampaignId>,
}

/// Finds out, without a lock, what may be decided. It takes one query where nothing waits.
pub(crate) async fn look_at_waiting_holds(conn: &impl ConnectionTrait, now: Instant) -> Result<Look, DbErr> {
    let places = store::waiting_holds::places(conn).await?;
    if places.is_empty() {
        return Ok(Look::default());
    }
    let campaigns: BTreeSet<_> = places.iter().map(|place| place.waiting.campaign_id).collect();
    let campaigns = store::campaigns::find_many(conn, campaigns).await?;
    let promocodes: BTreeSet<_> = places.iter().map(|place| place.promocode_id).collect();
    let promocodes = store::promocodes::find_many(conn, promocodes).await?;
    let counters = count(conn, &places, &campaigns).await?;
    let ripe = places.iter().filter(|place| {
        let campaign = campaigns.get(&place.waiting.campaign_id);
        let promocode = promocodes.get(&place.promocode_id);
        // Neither is ever deleted.
        let Some((campaign, promocode)) = campaign.zip(promocode) else {
            return false;
        };
        let limits: BTreeMap<_, _> = limits(Found { promocode, campaign }, place.user_id)
            .into_iter()
            .collect();
        place.waiting.is_ripe(
            now,
            campaign.version,
            |key| counters.get(&key).copied().unwrap_or_default(),
            |key| limits.get(&key).copied(),
        )
    });
    Ok(Look {
        waiting: places.len(),
        ripe: ripe.map(|place| place.waiting.campaign_id).collect(),
    })
}

/// What they wait for, counted.
async fn count(
    conn: &impl ConnectionTrait,
    places: &[Place],
    campaigns: &HashMap<CampaignId, Campaign>,
) -> Result<Counters, DbErr> {
    let keys: BTreeSet<_> = places
        .iter()
        .flat_map(|place| &place.waiting.waits_for)
        .copied()
        .collect();
    let needed: Vec<_> = keys.iter().copied().collect();
    let recounted = campaigns.values().filter_map(recounts_users).collect();
    let mut counters = store::counters::find(conn, &needed, &recounted).await?;
    store::counters::read_held(conn, &mut counters, campaigns.values(), &keys).await?;
    Ok(counters)
}

/// Decides the holds that wait for uses of `campaign`, in the order in which they came. A hold for which
/// there is still no use goes on waiting.
///
/// It locks as a hold does (campaign, then counts, then redemptions); the waiting holds after the
/// counts, and none that it would wait for.
pub(crate) async fn decide_waiting_holds(
    tx: &Tx,
    campaign: CampaignId,
    currency: Currency,
) -> Result<(), HoldPromocodesError> {
    let waiting = store::waiting_holds::find_of(tx.conn(), campaign).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let asked = Asked::load(tx, waiting.iter().map(|hold| &hold.command), currency).await?;
    let relations = Relations::load(tx.conn(), asked.by_user()).await?;
    let mut lines = asked.lines(&relations);
    let mut locked = store::counters::lock(tx.conn(), limits_of(lines.iter().map(|line| &line.hold))).await?;

    let queue = Queue::lock(tx, &waiting).await?;
    lines.retain(|line| queue.to_decide.contains(&line.command.purchase_id));
    // These holds are the queue themselves.
    for uses in locked.counters.values_mut() {
        uses.awaited = false;
    }
    let holds: Vec<_> = lines.iter().map(|line| line.hold).collect();
    let full = contended(&holds, &locked.counters);
    let full: BTreeSet<_> = full.into_keys().collect();
    store::counters::read_held(tx.conn(), &mut locked.counters, asked.campaigns(), &full).await?;
    let decisions = decide_batch(&holds, &mut locked.counters, &mut WaitingRoom::endless())?;
    queue.mark_the_others(tx, campaign, &mut locked.counters).await?;

    let mut again = Vec::new();
    let mut decided = Vec::new();
    for (line, decision) in lines.iter().zip(&decisions) {
        let id = line.command.purchase_id;
        match decision {
            InBatch::Decided(Decision::Waits(waits_for)) => {
                let hold = queue.waiting.get(&id).copied();
                let version = line.hold.found.map_or(0, |found| found.campaign.version);
                again.extend(hold.and_then(|hold| hold.judged_again(*waits_for, version)));
            }
            _ => {
                let traceparent = queue.waiting.get(&id).and_then(|hold| hold.traceparent());
                if let Some(traceparent) = traceparent {
                    tx.belongs_to(id.0, traceparent.to_owned());
                }
                decided.push(id);
            }
        }
    }
    let mut outcome = Outcome::of(tx, &lines, &decisions);
    // Those that go on waiting have their places.
    outcome.waiting.clear();
    outcome.give_up(tx, queue.given_up.iter().map(|hold| &hold.command));
    outcome.keep(tx, &locked, currency).await?;
    store::waiting_holds::update(tx.conn(), again).await?;
    let given_up = queue.given_up.iter().map(|hold| hold.command.purchase_id);
    let over = decided
        .into_iter()
        .chain(given_up)
        .chain(queue.over.iter().copied());
    store::waiting_holds::delete(tx.conn(), over).await?;
    Ok(())
}

/// The waiting holds of a campaign, as far as this transaction has locked them.
struct Queue<'a> {
    waiting: HashMap<PurchaseId, &'a WaitingHold>,
    to_decide: BTreeSet<PurchaseId>,
    /// Those that have waited for as long as they may.
    given_up: Vec<&'a WaitingHold>,
    /// Those whose purchases have a redemption already: they ended before the hold began to wait.
    over: BTreeSet<PurchaseId>,
}

impl<'a> Queue<'a> {
    async fn lock(tx: &Tx, waiting: &'a [WaitingHold]) -> Result<Self, DbErr> {
        let ids = waiting.iter().map(|hold| hold.command.purchase_id);
        let locked = store::waiting_holds::lock(tx.conn(), ids).await?;
        let decided = store::redemptions::find_many(tx.conn(), locked.iter().copied()).await?;
        let mut queue = Self {
            waiting: HashMap::new(),
            to_decide: BTreeSet::new(),
            given_up: Vec::new(),
            over: BTreeSet::new(),
        };
        for hold in waiting {
            let id = hold.command.purchase_id;
            if !locked.contains(&id) {
                continue;
            }
            queue.waiting.insert(id, hold);
            if decided.contains_key(&id) {
                queue.over.insert(id);
            } else if hold.gives_up_at() <= tx.now() {
                queue.given_up.push(hold);
            } else {
                queue.to_decide.insert(id);
            }
        }
        Ok(queue)
    }

    /// Marks what the other holds wait for, which are not decided here: no newcomer may pass them.
    async fn mark_the_others(
        &self,
        tx: &Tx,
        campaign: CampaignId,
        counters: &mut Counters,
    ) -> Result<(), DbErr> {
        let places = store::waiting_holds::places_of(tx.conn(), &BTreeSet::from([campaign])).await?;
        let others = places
            .iter()
            .filter(|place| !self.waiting.contains_key(&place.purchase_id));
        for key in others.flat_map(|place| &place.waiting.waits_for) {
            if let Some(uses) = counters.get_mut(key) {
                *uses = Uses {
                    awaited: true,
                    ..*uses
                };
            }
        }
        Ok(())
    }
}

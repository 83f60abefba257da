//! Makes redemptions follow their purchases: confirms, or cancels and gives the use back; after a
//! refund as the terms say that priced them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::DbErr;
use shared::{
    clock::Instant,
    contracts::{PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1},
    db::{Tx, race},
    ids::{CampaignId, PurchaseId, TariffId, UserId},
    telemetry::metrics::REDEMPTIONS,
};

use super::decide_waiting_holds::WaitingHolds;
use crate::{
    domain::{
        campaign::Recounted,
        redemption::{PurchaseOutcome, RedemptionStatus, settle},
    },
    store::{self, redemptions::Redemption},
};

/// What billing says became of a purchase with a promocode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PurchaseEnded {
    purchase_id: PurchaseId,
    version: i64,
    user_id: UserId,
    tariff_id: TariffId,
    ending: Ending,
}

/// How it ended, for all that billing knows.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Paid,
    Failed,
    Refunded,
}

impl Ending {
    /// What that is to a redemption; none has come yet if it is not there.
    fn of(self, redemption: Option<&Redemption>) -> PurchaseOutcome {
        match self {
            Self::Paid => PurchaseOutcome::Paid,
            Self::Failed => PurchaseOutcome::Failed,
            Self::Refunded => PurchaseOutcome::Refunded {
                return_use: redemption.is_none_or(|redemption| redemption.returns_use),
            },
        }
    }
}

impl PurchaseEnded {
    /// None if no promocode was used.
    pub(crate) fn paid(event: &PurchasePaidV1) -> Option<Self> {
        event.with_promocode.then_some(Self {
            purchase_id: event.purchase_id,
            version: event.version,
            user_id: event.user_id,
            tariff_id: event.tariff_id,
            ending: Ending::Paid,
        })
    }

    /// None if no promocode was to be used.
    pub(crate) fn failed(event: &PurchaseFailedV1) -> Option<Self> {
        event.with_promocode.then_some(Self {
            purchase_id: event.purchase_id,
            version: event.version,
            user_id: event.user_id,
            tariff_id: event.tariff_id,
            ending: Ending::Failed,
        })
    }

    /// None if no promocode was used.
    pub(crate) fn refunded(event: &PurchaseRefundedV1) -> Option<Self> {
        event.with_promocode.then_some(Self {
            purchase_id: event.purchase_id,
            version: event.version,
            user_id: event.user_id,
            tariff_id: event.tariff_id,
            ending: Ending::Refunded,
        })
    }

    /// What is kept of a purchase that ended before its hold came, so that the late hold takes
    /// no use.
    fn without_hold(&self, status: RedemptionStatus, now: Instant) -> Redemption {
        Redemption {
            purchase_id: self.purchase_id,
            status: status.as_str().to_owned(),
            user_id: self.user_id,
            tariff_id: self.tariff_id,
            promocode: None,
            promocode_id: None,
            campaign_id: None,
            campaign_version: None,
            list_price: None,
            discount: None,
            final_price: None,
            purchase_version: self.version,
            counted_campaign: false,
            counted_promocode: false,
            counted_user: false,
            requested_at: None,
            next_report_at: None,
            reports: 0,
            created_at: now,
            updated_at: now,
            first_purchase_only: false,
            returns_use: true,
            not_held: None,
        }
    }
}

/// What the campaigns say of which a use may come back that was not counted when it was taken. They
/// are shared: a limit that is being added counts the use, and then it must be taken off again.
async fn recounted(
    tx: &Tx,
    ended: &[PurchaseEnded],
    kept: &BTreeMap<PurchaseId, Redemption>,
) -> Result<HashMap<CampaignId, Recounted>, DbErr> {
    let campaigns: BTreeSet<_> = ended
        .iter()
        .filter(|purchase| !matches!(purchase.ending, Ending::Paid))
        .filter_map(|purchase| kept.get(&purchase.purchase_id))
        .filter(|redemption| redemption.stands().is_ok_and(RedemptionStatus::takes_a_use))
        .filter(|redemption| !(redemption.counted_campaign && redemption.counted_user))
        .filter_map(|redemption| redemption.campaign_id)
        .collect();
    let shared = store::campaigns::share(tx.conn(), campaigns).await?;
    let recounted = shared.into_iter().map(|(id, campaign)| (id, campaign.recounted));
    Ok(recounted.collect())
}

/// May hold the same purchase several times; the highest version of each wins.
///
/// One that failed while its hold waited takes it out of the queue.
///
/// Locks these redemptions and no count of uses: see [`store::returned_uses`]. Of what failed or
/// was refunded it shares the campaigns, if they may have begun to count.
pub(crate) async fn settle_redemptions(
    tx: &Tx,
    ended: &[PurchaseEnded],
    waiting: &WaitingHolds,
) -> Result<(), DbErr> {
    if ended.is_empty() {
        return Ok(());
    }
    let purchases: BTreeSet<_> = ended.iter().map(|purchase| purchase.purchase_id).collect();
    let mut kept = store::redemptions::lock_many(tx.conn(), purchases).await?;
    let recounted = recounted(tx, ended, &kept).await?;
    let mut new: BTreeMap<PurchaseId, Redemption> = BTreeMap::new();
    let mut changed = BTreeSet::new();
    let mut given_back = Vec::new();
    let mut reached = Vec::new();
    for purchase in ended {
        let id = purchase.purchase_id;
        let known = kept.get_mut(&id).or_else(|| new.get_mut(&id));
        let current = match &known {
            Some(redemption) => Some((redemption.stands()?, redemption.purchase_version)),
            None => None,
        };
        let outcome = purchase.ending.of(known.as_deref());
        let settlement = settle(current, outcome, purchase.version);
        let Some(status) = settlement.status else {
            continue;
        };
        let Some(redemption) = known else {
            new.insert(id, purchase.without_hold(status, tx.now()));
            reached.push(status);
            continue;
        };
        if settlement.use_given_back {
            let campaign = redemption
                .campaign_id
                .and_then(|campaign| recounted.get(&campaign));
            let counted = redemption.counted_in(campaign.copied().unwrap_or_default());
            given_back.extend(counted.map(|counter| (id, counter)));
        }
        if redemption.status != status.as_str() {
            redemption.status = status.as_str().to_owned();
            reached.push(status);
        }
        redemption.purchase_version = settlement.purchase_version;
        redemption.next_report_at = None;
        redemption.updated_at = tx.now();
        changed.insert(id);
    }
    // Whoever decides one of them at this moment is waited for, and then found below.
    store::waiting_holds::delete(tx.conn(), new.keys().copied()).await?;
    let expected = new.len() as u64;
    if store::redemptions::insert(tx.conn(), new.into_values().collect()).await? != expected {
        // Its hold was decided elsewhere meanwhile; the use that it took must go back.
        return Err(race("a purchase failed while its hold was decided"));
    }
    kept.retain(|id, _| changed.contains(id));
    store::redemptions::update(tx.conn(), kept.into_values().collect()).await?;
    store::returned_uses::insert(tx.conn(), &given_back).await?;
    if !reached.is_empty() {
        waiting.settled(tx);
    }
    tx.after_commit(async move {
        for status in reached {
            REDEMPTIONS.counter(&[("status", status.as_str())]).increment(1);
        }
    });
    Ok(())
}

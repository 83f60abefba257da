//! What is kept and said of decisions.

use std::collections::BTreeSet;

use iso_currency::Currency;
use sea_orm::DbErr;
use shared::{
    contracts::{
        HoldPromocodeV1, PromocodeHeldV1, PromocodeNotHeldV1, PromocodeRefusedV1, Reason, RefusalCode,
    },
    db::{Tx, race},
    ids::{PurchaseId, RefusalId, UserId},
    money::Money,
    telemetry::metrics::REDEMPTIONS,
    users,
};

use super::{HoldPromocodesError, asked::Line, count_refusal};
use crate::{
    domain::{
        batch::{Hold, InBatch, counters_needed},
        campaign::RefundPolicy,
        decision::{Decision, Found},
        discount::Priced,
        masking::{hides_the_promocode, mask},
        promocode::as_shown,
        redemption::RedemptionStatus,
        stale_hold::{first_report_at, gives_up_at},
    },
    store::{
        self, counters::Locked, redemptions::Redemption, refusals::Refusal, waiting_holds::NewWaitingHold,
    },
};

/// What is to be kept and said.
#[derive(Default)]
pub(in crate::app) struct Outcome {
    redemptions: Vec<Redemption>,
    refusals: Vec<Refusal>,
    /// What is decided later.
    pub waiting: Vec<NewWaitingHold>,
}

impl Outcome {
    pub fn of(tx: &Tx, lines: &[Line<'_>], decisions: &[InBatch]) -> Self {
        let mut outcome = Self::default();
        for (line, decision) in lines.iter().zip(decisions) {
            // A repeat in the batch is answered by the one answer that follows.
            if let InBatch::Decided(decision) = decision {
                outcome.add(tx, line.command, &line.hold, decision);
            }
        }
        outcome
    }

    /// Those have waited for as long as they may: billing has given up, and hears nothing of it.
    pub fn give_up<'a>(&mut self, tx: &Tx, commands: impl Iterator<Item = &'a HoldPromocodeV1>) {
        self.redemptions.extend(commands.map(|command| Redemption {
            status: RedemptionStatus::Cancelled.as_str().to_owned(),
            ..undecided(tx, command)
        }));
    }

    /// Keeps everything, with the counts that it has changed, and says it.
    pub async fn keep(
        mut self,
        tx: &Tx,
        locked: &Locked,
        currency: Currency,
    ) -> Result<(), HoldPromocodesError> {
        self.forget_what_was_typed(tx).await?;
        let expected = self.redemptions.len() as u64;
        if store::redemptions::insert(tx.conn(), self.redemptions.clone()).await? != expected {
            // Decided again from the start, it finds that decision and repeats it.
            return Err(race("a purchase was decided elsewhere meanwhile").into());
        }
        store::refusals::insert(tx.conn(), &self.refusals).await?;
        store::counters::write(tx.conn(), locked).await?;
        store::waiting_holds::insert(tx.conn(), &self.waiting).await?;
        // Billing knows of purchases that were made before loyalty heard of any.
        store::purchasers::insert(tx.conn(), self.not_first(), tx.now()).await?;
        self.say(tx, currency)?;
        self.count(tx);
        Ok(())
    }

    fn add(&mut self, tx: &Tx, command: &HoldPromocodeV1, hold: &Hold<'_>, decision: &Decision) {
        let mut redemption = undecided(tx, command);
        redemption.promocode_id = hold.found.map(|found| found.promocode.id);
        redemption.campaign_id = hold.found.map(|found| found.campaign.id);
        match (decision, hold.found) {
            (Decision::Held(priced), Some(found)) => {
                price(&mut redemption, found, *priced);
                redemption.status = RedemptionStatus::Held.as_str().to_owned();
                redemption.count_in(&counters_needed(found, command.user_id));
                redemption.next_report_at = Some(first_report_at(command.deadline, tx.now()));
            }
            (Decision::NotHeld(priced, reason), Some(found)) => {
                price(&mut redemption, found, *priced);
                redemption.status = RedemptionStatus::Cancelled.as_str().to_owned();
                redemption.not_held = Some(*reason);
            }
            (Decision::Refused(reasons), found) => self.refusals.push(Refusal {
                id: RefusalId::new(tx.now()),
                purchase_id: Some(command.purchase_id),
                user_id: command.user_id,
                tariff_id: command.tariff_id,
                promocode: as_shown(&command.promocode),
                found: found.map(|found| (found.promocode.id, found.campaign.id)),
                reasons: reasons.clone(),
                refused_at: tx.now(),
            }),
            (Decision::Waits(waits_for), Some(found)) => {
                self.waiting.push(NewWaitingHold {
                    command: command.clone(),
                    campaign_id: found.campaign.id,
                    promocode_id: found.promocode.id,
                    campaign_version: found.campaign.version,
                    waits_for: *waits_for,
                    traceparent: tx.trace_of(command.purchase_id.0),
                    arrived_at: tx.now(),
                    gives_up_at: gives_up_at(command.requested_at, command.deadline, tx.now()),
                });
                return;
            }
            // The domain holds nothing that was not found.
            (Decision::Held(_) | Decision::NotHeld(..) | Decision::Waits(_), None) => return,
        }
        self.redemptions.push(redemption);
    }

    /// Of what users typed who are deleted by now only what is a promocode is kept and said.
    async fn forget_what_was_typed(&mut self, tx: &Tx) -> Result<(), DbErr> {
        // Of all of them: whether there is the promocode must not show in what the database is asked.
        let users = self.refusals.iter().map(|refusal| refusal.user_id);
        let deleted = users::deleted_among(tx.conn(), users).await?;
        for redemption in &mut self.redemptions {
            if redemption.promocode_id.is_none() && deleted.contains(&redemption.user_id) {
                redemption.promocode = Some(String::new());
            }
        }
        for refusal in &mut self.refusals {
            if deleted.contains(&refusal.user_id) {
                refusal.forget_what_was_typed();
            }
        }
        Ok(())
    }

    /// Who was refused for having bought before.
    fn not_first(&self) -> BTreeSet<UserId> {
        let is_not_first = |refusal: &&Refusal| {
            let mut reasons = refusal.reasons.iter();
            // A row for it would tell of a promocode that reads as unknown.
            !hides_the_promocode(&refusal.reasons)
                && reasons.any(|reason| reason.code == RefusalCode::NotFirstPurchase)
        };
        self.refusals
            .iter()
            .filter(is_not_first)
            .map(|refusal| refusal.user_id)
            .collect()
    }

    fn count(self, tx: &Tx) {
        tx.after_commit(async move {
            for redemption in self.redemptions {
                REDEMPTIONS.counter(&[("status", redemption.status)]).increment(1);
            }
            for refusal in &self.refusals {
                count_refusal(&refusal.reasons, "hold");
            }
        });
    }

    fn say(&self, tx: &Tx, currency: Currency) -> Result<(), DbErr> {
        for redemption in self
            .redemptions
            .iter()
            .filter(|redemption| redemption.final_price.is_some())
        {
            say_priced(tx, redemption, currency)?;
        }
        for refusal in &self.refusals {
            if let Some(purchase) = refusal.purchase_id {
                say_refused(
                    tx,
                    purchase,
                    refusal.user_id,
                    &refusal.reasons,
                    &refusal.promocode,
                )?;
            }
        }
        Ok(())
    }
}

/// A redemption that is refused, unless it is filled in.
fn undecided(tx: &Tx, command: &HoldPromocodeV1) -> Redemption {
    Redemption {
        purchase_id: command.purchase_id,
        status: RedemptionStatus::Refused.as_str().to_owned(),
        user_id: command.user_id,
        tariff_id: command.tariff_id,
        promocode: Some(as_shown(&command.promocode)),
        promocode_id: None,
        campaign_id: None,
        campaign_version: None,
        list_price: Some(command.price.amount),
        discount: None,
        final_price: None,
        purchase_version: 0,
        counted_campaign: false,
        counted_promocode: false,
        counted_user: false,
        requested_at: Some(command.requested_at),
        next_report_at: None,
        reports: 0,
        created_at: tx.now(),
        updated_at: tx.now(),
        first_purchase_only: false,
        returns_use: true,
        not_held: None,
    }
}

/// Fills in what a redemption has whose promocode was priced.
fn price(redemption: &mut Redemption, found: Found<'_>, priced: Priced) {
    let Found { promocode, campaign } = found;
    redemption.promocode = Some(promocode.code.as_str().to_owned());
    redemption.campaign_version = Some(campaign.version);
    redemption.first_purchase_only = campaign.eligibility.first_purchase;
    redemption.returns_use = campaign.refund_policy == RefundPolicy::ReturnUse;
    redemption.discount = Some(priced.discount);
    redemption.final_price = Some(priced.final_price);
}

/// Says that a use is held, or at which price it is not.
pub(super) fn say_priced(tx: &Tx, redemption: &Redemption, currency: Currency) -> Result<(), DbErr> {
    let incomplete = || {
        DbErr::Type(format!(
            "the redemption of {} is not complete",
            redemption.purchase_id
        ))
    };
    let money = |amount: Option<_>| {
        amount
            .map(|amount| Money::new(amount, currency))
            .ok_or_else(incomplete)
    };
    if let Some(reason) = redemption.not_held {
        tx.emit(&PromocodeNotHeldV1 {
            purchase_id: redemption.purchase_id,
            user_id: redemption.user_id,
            list_price: money(redemption.list_price)?,
            discount: money(redemption.discount)?,
            final_price: money(redemption.final_price)?,
            reason,
        })?;
        return Ok(());
    }
    tx.emit(&PromocodeHeldV1 {
        first_purchase_only: redemption.first_purchase_only,
        purchase_id: redemption.purchase_id,
        user_id: redemption.user_id,
        promocode_id: redemption.promocode_id.ok_or_else(incomplete)?,
        campaign_id: redemption.campaign_id.ok_or_else(incomplete)?,
        campaign_version: redemption.campaign_version.ok_or_else(incomplete)?,
        list_price: money(redemption.list_price)?,
        discount: money(redemption.discount)?,
        final_price: money(redemption.final_price)?,
    })?;
    Ok(())
}

/// Only the customer's copy leaves loyalty.
pub(super) fn say_refused(
    tx: &Tx,
    purchase_id: PurchaseId,
    user_id: UserId,
    reasons: &[Reason],
    typed: &str,
) -> Result<(), DbErr> {
    let reasons = mask(reasons, typed);
    tx.emit(&PromocodeRefusedV1 {
        purchase_id,
        user_id,
        reasons,
    })
    .map(drop)
}

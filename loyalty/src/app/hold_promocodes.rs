//! Decides holds: one decision a purchase, in batches.

mod guesses;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use iso_currency::Currency;
use sea_orm::DbErr;
use shared::{
    contracts::{HoldPromocodeV1, PromocodeHeldV1, PromocodeRefusedV1, Reason, RefusalCode},
    db::{Tx, race},
    ids::{CampaignId, PurchaseId, RefusalId, UserId},
    money::Money,
    telemetry::metrics::{PROMOCODE_REFUSALS, REDEMPTIONS, word},
    users,
};

use guesses::Judged;

use super::relations::Relations;
use crate::{
    domain::{
        batch::{CounterNotLoaded, Hold, InBatch, counters_needed, decide_batch, limits, recounts_users},
        campaign::{Campaign, RefundPolicy},
        decision::{Decision, Found, HoldRequest, ImpossiblePrice},
        guess::GuessLimits,
        masking::mask,
        promocode::{Promocode, PromocodeCode, as_shown},
        redemption::{AnswerAgain, RedemptionStatus, answer_again},
        stale_hold::first_report_at,
    },
    store::{self, counters::Limits, redemptions::Redemption, refusals::Refusal},
};

/// Why holds can't be decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldPromocodesError {
    #[error(transparent)]
    ImpossiblePrice(#[from] ImpossiblePrice),
    #[error(transparent)]
    CounterNotLoaded(#[from] CounterNotLoaded),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Answers every command: with the answer that its purchase has got already, or with a new
/// decision. The slice may hold the same purchase, promocode and user several times.
///
/// Nothing else in its transaction has locked a count, so that replicas wait for each other's
/// counts in one direction only. They can still meet in a circle where a purchase fails in one while it is
/// decided in another; then the database ends one of them, and `Db::write` runs it again.
pub(crate) async fn hold_promocodes(
    tx: &Tx,
    commands: &[HoldPromocodeV1],
    currency: Currency,
    guesses: GuessLimits,
) -> Result<(), HoldPromocodesError> {
    let purchases: BTreeSet<_> = commands.iter().map(|command| command.purchase_id).collect();
    let decided = store::redemptions::find_many(tx.conn(), purchases).await?;
    say_again(tx, &decided, currency).await?;

    let new = commands
        .iter()
        .filter(|command| !decided.contains_key(&command.purchase_id));
    let asked = Asked::load(tx, new, currency).await?;
    let relations = Relations::load(tx.conn(), asked.found_by_user()).await?;
    let holds: Vec<_> = asked.holds(&relations).collect();
    let judged = Judged::of(tx, &asked.commands, &holds, guesses).await?;
    let admitted = judged.admitted(&holds);
    let limits = limits_of(&admitted);
    // From here on others wait for this transaction.
    let mut locked = store::counters::lock(tx.conn(), limits).await?;
    let decided = decide_batch(&admitted, &mut locked.counters)?;
    let decisions = judged.complete(&holds, decided);

    let mut outcome = Outcome::of(tx, &asked.commands, &holds, &decisions);
    outcome.forget_what_was_typed(tx).await?;
    let expected = outcome.redemptions.len() as u64;
    if store::redemptions::insert(tx.conn(), outcome.redemptions.clone()).await? != expected {
        // Decided again from the start, it finds that decision and repeats it.
        return Err(race("a purchase was decided elsewhere meanwhile").into());
    }
    store::refusals::insert(tx.conn(), &outcome.refusals).await?;
    store::counters::write(tx.conn(), &locked).await?;
    // Billing knows of purchases that were made before loyalty heard of any.
    store::purchasers::insert(tx.conn(), outcome.not_first(), tx.now()).await?;
    outcome.say(tx, currency)?;
    outcome.count(tx);
    Ok(())
}

/// Repeats the stored answers.
async fn say_again(
    tx: &Tx,
    decided: &BTreeMap<PurchaseId, Redemption>,
    currency: Currency,
) -> Result<(), DbErr> {
    let mut refused = Vec::new();
    for redemption in decided.values() {
        match answer_again(redemption.stands()?) {
            AnswerAgain::Held => say_held(tx, redemption, currency)?,
            AnswerAgain::Refused => refused.push(redemption.purchase_id),
            AnswerAgain::Nothing => {}
        }
    }
    let reasons = store::refusals::reasons_of(tx.conn(), &refused).await?;
    for purchase in &refused {
        if let (Some(redemption), Some(reasons)) = (decided.get(purchase), reasons.get(purchase)) {
            let typed = redemption.promocode.as_deref().unwrap_or_default();
            say_refused(tx, redemption.purchase_id, redemption.user_id, reasons, typed)?;
        }
    }
    Ok(())
}

/// Commands that are to be decided, with what decides them.
struct Asked<'a> {
    commands: Vec<&'a HoldPromocodeV1>,
    requests: Vec<HoldRequest>,
    promocodes: HashMap<PromocodeCode, Promocode>,
    campaigns: HashMap<CampaignId, Campaign>,
}

impl<'a> Asked<'a> {
    /// A query a table, however many commands there are.
    async fn load(
        tx: &Tx,
        commands: impl Iterator<Item = &'a HoldPromocodeV1>,
        currency: Currency,
    ) -> Result<Self, HoldPromocodesError> {
        let commands: Vec<_> = commands.collect();
        let requests = commands
            .iter()
            .map(|command| HoldRequest::from_command(command, currency))
            .collect::<Result<Vec<_>, _>>()?;
        let mut asked = Self {
            commands,
            requests,
            promocodes: HashMap::new(),
            campaigns: HashMap::new(),
        };
        if asked.commands.is_empty() {
            return Ok(asked);
        }
        let codes: BTreeSet<_> = asked.codes().flatten().collect();
        // Nobody changes the terms, and with them what is counted, before this is committed; nor
        // the promocodes, which are read behind that wait.
        asked.campaigns = store::campaigns::share_of_codes(tx.conn(), &codes).await?;
        let promocodes = store::promocodes::find_by_codes(tx.conn(), &codes).await?;
        asked.promocodes = promocodes
            .into_iter()
            .map(|found| (found.code.clone(), found))
            .collect();
        Ok(asked)
    }

    /// What was typed, in its normal form; none where it can't be a promocode.
    fn codes(&self) -> impl Iterator<Item = Option<PromocodeCode>> {
        self.requests
            .iter()
            .map(|request| PromocodeCode::parse(&request.promocode).ok())
    }

    fn found(&self, code: Option<PromocodeCode>) -> Option<Found<'_>> {
        let promocode = self.promocodes.get(&code?)?;
        let campaign = self.campaigns.get(&promocode.campaign_id)?;
        Some(Found { promocode, campaign })
    }

    /// Every promocode that there is, with who asks for it.
    fn found_by_user(&self) -> impl Iterator<Item = (Found<'_>, UserId)> {
        let lines = self.requests.iter().zip(self.codes());
        lines.filter_map(|(request, code)| Some((self.found(code)?, request.user_id)))
    }

    fn holds(&self, relations: &Relations) -> impl Iterator<Item = Hold<'_>> {
        let lines = self.commands.iter().zip(&self.requests).zip(self.codes());
        lines.map(|((command, request), code)| {
            let found = self.found(code);
            let relation = found.map(|found| relations.of(found, request.user_id));
            Hold {
                purchase_id: command.purchase_id,
                request,
                found,
                relation: relation.unwrap_or_default(),
            }
        })
    }
}

/// The counters that the holds need, each once.
fn limits_of(holds: &[Hold<'_>]) -> Limits {
    let mut needed = Limits::default();
    for hold in holds {
        let Some(found) = hold.found else { continue };
        needed.most.extend(limits(found, hold.request.user_id));
        needed.recounted.extend(recounts_users(found.campaign));
    }
    needed
}

/// What is to be kept and said.
#[derive(Default)]
struct Outcome {
    redemptions: Vec<Redemption>,
    refusals: Vec<Refusal>,
}

impl Outcome {
    fn of(tx: &Tx, commands: &[&HoldPromocodeV1], holds: &[Hold<'_>], decisions: &[InBatch]) -> Self {
        let mut outcome = Self::default();
        for ((command, hold), decision) in commands.iter().zip(holds).zip(decisions) {
            // A repeat in the batch is answered by the one answer that follows.
            if let InBatch::Decided(decision) = decision {
                outcome.add(tx, command, hold, decision);
            }
        }
        outcome
    }

    fn add(&mut self, tx: &Tx, command: &HoldPromocodeV1, hold: &Hold<'_>, decision: &Decision) {
        let mut redemption = undecided(tx, command);
        redemption.promocode_id = hold.found.map(|found| found.promocode.id);
        redemption.campaign_id = hold.found.map(|found| found.campaign.id);
        match (decision, hold.found) {
            (Decision::Held(priced), Some(found)) => {
                redemption.status = RedemptionStatus::Held.as_str().to_owned();
                redemption.promocode = Some(found.promocode.code.as_str().to_owned());
                redemption.campaign_version = Some(found.campaign.version);
                redemption.first_purchase_only = found.campaign.eligibility.first_purchase;
                redemption.returns_use = found.campaign.refund_policy == RefundPolicy::ReturnUse;
                redemption.discount = Some(priced.discount);
                redemption.final_price = Some(priced.final_price);
                redemption.count_in(&counters_needed(found, command.user_id));
                redemption.next_report_at = Some(first_report_at(command.deadline, tx.now()));
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
            // The domain holds nothing that was not found.
            (Decision::Held(_), None) => return,
        }
        self.redemptions.push(redemption);
    }

    /// Of what users typed who are deleted by now only what is a promocode is kept and said.
    async fn forget_what_was_typed(&mut self, tx: &Tx) -> Result<(), DbErr> {
        let not_found = self.refusals.iter().filter(|refusal| refusal.found.is_none());
        let deleted = users::deleted_among(tx.conn(), not_found.map(|refusal| refusal.user_id)).await?;
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
            refusal
                .reasons
                .iter()
                .any(|reason| reason.code == RefusalCode::NotFirstPurchase)
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
            say_held(tx, redemption, currency)?;
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

/// A condition that was not met, when a purchase asked or when a customer only tried.
pub(crate) fn count_refusal(reasons: &[Reason], at: &'static str) {
    for reason in reasons {
        count_refusal_for(reason.code, at);
    }
}

pub(super) fn count_refusal_for(code: RefusalCode, at: &'static str) {
    PROMOCODE_REFUSALS
        .counter(&[("reason", word(&code)), ("at", at.to_owned())])
        .increment(1);
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
    }
}

fn say_held(tx: &Tx, redemption: &Redemption, currency: Currency) -> Result<(), DbErr> {
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
fn say_refused(
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

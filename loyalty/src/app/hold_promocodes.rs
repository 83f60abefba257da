//! Decides holds: one decision a purchase, in batches.

mod asked;
mod guesses;
mod outcome;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};

use iso_currency::Currency;
use sea_orm::DbErr;
use shared::{
    contracts::{HoldPromocodeV1, Reason, RefusalCode},
    db::Tx,
    ids::PurchaseId,
    telemetry::metrics::{PROMOCODE_REFUSALS, word},
};

use asked::Line;
use guesses::Judged;
use outcome::{say_priced, say_refused};
use unknown::refuse_unknown;
pub(super) use {asked::Asked, outcome::Outcome};

use super::{decide_waiting_holds::WaitingHolds, relations::Relations};
use crate::{
    domain::{
        batch::{
            CounterNotLoaded, Counters, Hold, contended, counters_needed, decide_batch, limits,
            recounts_users,
        },
        decision::ImpossiblePrice,
        guess::GuessLimits,
        redemption::{AnswerAgain, answer_again},
        waiting::WaitingRoom,
    },
    store::{self, counters::Limits, redemptions::Redemption},
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
/// decision; or later, if it has to wait for a use that is held for another purchase. The slice may hold
/// the same purchase, promocode and user several times.
///
/// Nothing else in its transaction has locked a count, so that replicas wait for each other's
/// counts in one direction only. They can still meet in a circle where a purchase fails in one while it is
/// decided in another; then the database ends one of them, and `Db::write` runs it again.
pub(crate) async fn hold_promocodes(
    tx: &Tx,
    commands: &[HoldPromocodeV1],
    currency: Currency,
    guesses: GuessLimits,
    waiting: &WaitingHolds,
) -> Result<(), HoldPromocodesError> {
    let purchases: BTreeSet<_> = commands.iter().map(|command| command.purchase_id).collect();
    let decided = store::redemptions::find_many(tx.conn(), purchases).await?;
    say_again(tx, &decided, currency).await?;

    let new = commands
        .iter()
        .filter(|command| !decided.contains_key(&command.purchase_id));
    let asked = Asked::load(tx, new, currency).await?;
    let relations = Relations::load(tx.conn(), asked.by_user()).await?;
    let judged = Judged::of(tx, asked.lines(&relations), guesses).await?;
    let mut lines = judged.admitted;
    let unknown = refuse_unknown(tx, &mut lines).await?;
    let limits = limits_of(lines.iter().map(|line| &line.hold));
    // From here on others wait for this transaction.
    let mut locked = store::counters::lock(tx.conn(), limits).await?;
    let mut room = queue_up(tx, &asked, &mut lines, &mut locked.counters).await?;
    let holds: Vec<_> = lines.iter().map(|line| line.hold).collect();
    let mut decisions = decide_batch(&holds, &mut locked.counters, &mut room)?;
    for (line, decision) in judged.refused.into_iter().chain(unknown) {
        lines.push(line);
        decisions.push(decision);
    }
    let outcome = Outcome::of(tx, &lines, &decisions);
    if !outcome.waiting.is_empty() {
        waiting.enqueued(tx);
    }
    outcome.keep(tx, &locked, currency).await
}

/// Puts new commands behind those that wait for the same uses; one that waits already keeps its place
/// and leaves `lines`. Fills in what decides whether others wait, and says how many may. Reads nothing
/// where there are uses for all of them.
async fn queue_up(
    tx: &Tx,
    asked: &Asked<'_>,
    lines: &mut Vec<Line<'_>>,
    counters: &mut Counters,
) -> Result<WaitingRoom, DbErr> {
    let holds: Vec<_> = lines.iter().map(|line| line.hold).collect();
    let short = contended(&holds, counters);
    if short.is_empty() {
        return Ok(WaitingRoom::default());
    }
    let campaigns = asked.campaigns().map(|campaign| campaign.id).collect();
    let places = store::waiting_holds::places_of(tx.conn(), &campaigns).await?;
    let known: BTreeSet<_> = places.iter().map(|place| place.purchase_id).collect();
    lines.retain(|line| !known.contains(&line.command.purchase_id));
    let awaited: BTreeSet<_> = places.iter().flat_map(|place| &place.waiting.waits_for).collect();
    for (key, uses) in counters.iter_mut() {
        uses.awaited = awaited.contains(key);
    }
    let full: BTreeSet<_> = short
        .into_iter()
        .filter(|(key, limit)| counters.get(key).is_some_and(|uses| uses.taken >= *limit))
        .map(|(key, _)| key)
        .collect();
    // Other campaigns may have very many held uses.
    let wants_full = |line: &&Line<'_>| {
        let keys = line
            .hold
            .found
            .map(|found| counters_needed(found, line.hold.request.user_id));
        keys.is_some_and(|keys| keys.iter().any(|key| full.contains(key)))
    };
    let wanted = lines.iter().filter(wants_full).filter_map(|line| line.hold.found);
    let wanted: BTreeSet<_> = wanted.map(|found| found.campaign.id).collect();
    let campaigns = asked.campaigns().filter(|campaign| wanted.contains(&campaign.id));
    store::counters::read_held(tx.conn(), counters, campaigns, &full).await?;
    let all = store::waiting_holds::count(tx.conn()).await?;
    let near = places
        .iter()
        .map(|place| (place.waiting.campaign_id, place.user_id));
    Ok(WaitingRoom::with(
        usize::try_from(all).unwrap_or(usize::MAX),
        near,
    ))
}

/// Repeats the stored answers.
async fn say_again(
    tx: &Tx,
    decided: &BTreeMap<PurchaseId, Redemption>,
    currency: Currency,
) -> Result<(), DbErr> {
    let mut refused = Vec::new();
    for redemption in decided.values() {
        match answer_again(redemption.stands()?, redemption.not_held) {
            AnswerAgain::Held | AnswerAgain::NotHeld(_) => say_priced(tx, redemption, currency)?,
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

/// The counters that the holds need, each once.
pub(super) fn limits_of<'a>(holds: impl IntoIterator<Item = &'a Hold<'a>>) -> Limits {
    let mut needed = Limits::default();
    for hold in holds {
        let Some(found) = hold.found else { continue };
        needed.most.extend(limits(found, hold.request.user_id));
        needed.recounted.extend(recounts_users(found.campaign));
    }
    needed
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

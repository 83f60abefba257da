//! Which holds of a batch are guesses too many.

use std::collections::{HashMap, HashSet};

use sea_orm::DbErr;
use shared::{contracts::HoldPromocodeV1, db::Tx, ids::PurchaseId, throttle::Throttled};

use crate::{
    app::guesses::judge_together,
    domain::{
        batch::{Hold, InBatch},
        decision::{Decision, is_unknown_to},
        guess::{Attempt, GuessLimits, Guesser, too_many_attempts},
    },
};

/// The holds that are refused unseen, since their users have guessed too much.
pub(super) struct Judged {
    limits: GuessLimits,
    throttled: HashMap<PurchaseId, Throttled>,
}

impl Judged {
    /// Judges the holds in their order, and counts those that are guesses. One look at the counts of
    /// the whole batch, and nothing more where nothing is unknown. Locks nothing but counts of guesses.
    pub async fn of(
        tx: &Tx,
        commands: &[&HoldPromocodeV1],
        holds: &[Hold<'_>],
        limits: GuessLimits,
    ) -> Result<Self, DbErr> {
        let mut known = HashSet::new();
        let lines: Vec<_> = commands
            .iter()
            .zip(holds)
            // A purchase that comes twice is one guess.
            .filter(|(command, _)| known.insert(command.purchase_id))
            .map(|(command, hold)| {
                let guesser = Guesser::new(command.user_id, command.client_bucket);
                (
                    guesser,
                    is_unknown_to(hold.request, hold.found, hold.relation),
                    command.purchase_id,
                )
            })
            .collect();
        let attempts: Vec<_> = lines
            .iter()
            .map(|(guesser, is_unknown, _)| Attempt {
                guesser,
                is_unknown: *is_unknown,
            })
            .collect();
        let waits = judge_together(tx, &attempts, limits).await?;
        let throttled = lines.iter().zip(waits);
        Ok(Self {
            limits,
            throttled: throttled
                .filter_map(|((_, _, purchase), wait)| Some((*purchase, wait?)))
                .collect(),
        })
    }

    /// Those that are to be decided by the rules.
    pub fn admitted<'h>(&self, holds: &[Hold<'h>]) -> Vec<Hold<'h>> {
        let is_admitted = |hold: &&Hold<'_>| !self.throttled.contains_key(&hold.purchase_id);
        holds.iter().filter(is_admitted).copied().collect()
    }

    /// What became of all of `holds`, where `decided` is what became of those that were admitted.
    pub fn complete(&self, holds: &[Hold<'_>], decided: Vec<InBatch>) -> Vec<InBatch> {
        let (mut decided, mut refused) = (decided.into_iter(), HashMap::new());
        let mut all = Vec::with_capacity(holds.len());
        for (place, hold) in holds.iter().enumerate() {
            let decision = match self.throttled.get(&hold.purchase_id) {
                None => decided.next(),
                Some(throttled) => Some(match refused.insert(hold.purchase_id, place) {
                    Some(first) => InBatch::RepeatOf(first),
                    None => {
                        let reason = too_many_attempts(self.limits, throttled.seconds);
                        InBatch::Decided(Decision::Refused(vec![reason]))
                    }
                }),
            };
            all.extend(decision);
        }
        all
    }
}

//! Which holds of a batch are guesses too many.

use std::collections::{HashMap, HashSet};

use sea_orm::DbErr;
use shared::{db::Tx, throttle::Throttled};

use super::asked::Line;
use crate::{
    app::guesses::judge_together,
    domain::{
        batch::InBatch,
        decision::{Decision, is_unknown_to},
        guess::{Attempt, GuessLimits, Guesser, too_many_attempts},
    },
};

/// The lines of a batch, parted by how much their users have guessed.
pub(super) struct Judged<'a> {
    /// Those that are to be decided by the rules.
    pub admitted: Vec<Line<'a>>,
    /// Those that are refused unseen, each purchase once.
    pub refused: Vec<(Line<'a>, InBatch)>,
}

impl<'a> Judged<'a> {
    /// Judges the lines in their order, and counts those that are guesses. One look at the counts of
    /// the whole batch, and nothing more where nothing is unknown. Locks nothing but counts of guesses.
    pub async fn of(tx: &Tx, lines: Vec<Line<'a>>, limits: GuessLimits) -> Result<Self, DbErr> {
        let mut known = HashSet::new();
        // A purchase that comes twice is one guess.
        let once = lines.iter().filter(|line| known.insert(line.command.purchase_id));
        let guessers: Vec<_> = once
            .map(|line| {
                let guesser = Guesser::new(line.command.user_id, line.command.client_bucket);
                (line, guesser)
            })
            .collect();
        let attempts: Vec<_> = guessers
            .iter()
            .map(|(Line { hold, .. }, guesser)| Attempt {
                guesser,
                is_unknown: is_unknown_to(hold.request, hold.found, hold.relation),
            })
            .collect();
        let waits = judge_together(tx, &attempts, limits).await?;
        let throttled = guessers.iter().zip(waits);
        let mut throttled: HashMap<_, _> = throttled
            .filter_map(|((line, _), wait)| Some((line.command.purchase_id, Some(wait?))))
            .collect();
        let mut judged = Self {
            admitted: Vec::with_capacity(lines.len()),
            refused: Vec::new(),
        };
        for line in lines {
            match throttled.get_mut(&line.command.purchase_id) {
                None => judged.admitted.push(line),
                Some(wait) => judged
                    .refused
                    .extend(wait.take().map(|wait| (line, refused(limits, wait)))),
            }
        }
        Ok(judged)
    }
}

fn refused(limits: GuessLimits, throttled: Throttled) -> InBatch {
    let reason = too_many_attempts(limits, throttled.seconds);
    InBatch::Decided(Decision::Refused(vec![reason]))
}

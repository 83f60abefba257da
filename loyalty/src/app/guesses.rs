//! Counts unknown promocodes that users try, and says when that is guessing.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    db::Tx,
    throttle::{self, Throttled},
};

use crate::domain::guess::{Attempt, GuessLimits, Guesser, judge, to_count};

/// A user whose attempts are counted, and how many of them are answered.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub guesser: Guesser,
    pub limits: GuessLimits,
}

impl Watched {
    /// Whether the user has to wait instead of getting an answer about a promocode that there is.
    pub(super) async fn check(
        &self,
        conn: &impl ConnectionTrait,
        now: Instant,
    ) -> Result<Option<Throttled>, DbErr> {
        let counts = throttle::find_many(conn, &self.guesser.keys().cloned().collect()).await?;
        let waits = judge(&[self.attempt(false)], counts, &BTreeMap::new(), self.limits, now);
        Ok(waits
            .into_iter()
            .flatten()
            .map(|seconds| Throttled { seconds })
            .next())
    }

    /// Counts an unknown promocode, and says whether the user has to wait instead of being told so.
    pub(super) async fn count(&self, tx: &Tx) -> Result<Option<Throttled>, DbErr> {
        let waits = judge_together(tx, &[self.attempt(true)], self.limits).await?;
        Ok(waits.into_iter().next().flatten())
    }

    const fn attempt(&self, is_unknown: bool) -> Attempt<'_> {
        Attempt {
            guesser: &self.guesser,
            is_unknown,
        }
    }
}

/// Says of each attempt, in the same order, whether it has to wait instead of being answered; counts
/// those that are unknown. One look at the counts, and nothing more where nothing is unknown.
pub(super) async fn judge_together(
    tx: &Tx,
    attempts: &[Attempt<'_>],
    limits: GuessLimits,
) -> Result<Vec<Option<Throttled>>, DbErr> {
    let (conn, now) = (tx.conn(), tx.now());
    let keys: BTreeSet<_> = attempts
        .iter()
        .flat_map(|attempt| attempt.guesser.keys().cloned())
        .collect();
    let mut counts = throttle::find_many(conn, &keys).await?;
    let added = to_count(attempts, &counts, limits, now);
    if !added.is_empty() {
        throttle::add_many(conn, &added, now).await?;
        // Locked by this transaction, they do not change any more.
        let counted = added.keys().cloned().collect();
        counts.extend(throttle::find_many(conn, &counted).await?);
    }
    let waits = judge(attempts, counts, &added, limits, now);
    Ok(waits
        .into_iter()
        .map(|seconds| seconds.map(|seconds| Throttled { seconds }))
        .collect())
}

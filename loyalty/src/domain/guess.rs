//! Guessing: how many promocodes may be tried that do not exist or are meant for others.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use shared::{
    clock::Instant,
    contracts::{Reason, RefusalCode},
    ids::UserId,
    throttle::{Count, WINDOW, hash_of},
};

/// How many unknown promocodes are answered within a quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimits {
    /// To one user.
    pub user: u32,
    /// To one address.
    pub address: u32,
}

/// The user and the address that an attempt is counted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guesser {
    user: String,
    address: Option<String>,
}

impl Guesser {
    /// `user`, at an address of this bucket where that is known.
    #[must_use]
    pub fn new(user: UserId, bucket: Option<u32>) -> Self {
        Self {
            user: hash_of(&["unknown promocode", "user", &user.to_string()]),
            address: bucket.map(|bucket| hash_of(&["unknown promocode", "address", &bucket.to_string()])),
        }
    }

    /// The keys of their counts.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        [&self.user].into_iter().chain(&self.address)
    }
}

/// One promocode that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// By whom.
    pub guesser: &'a Guesser,
    /// Whether its answer would be that there is no such promocode.
    pub is_unknown: bool,
}

/// The reason by which a purchase is refused after too many guesses: the same whatever was typed.
#[must_use]
pub fn too_many_attempts(limits: GuessLimits, seconds: u32) -> Reason {
    Reason {
        code: RefusalCode::TooManyAttempts,
        detail: format!("Too many unknown promocodes were tried; please try again in {seconds} seconds."),
        expected: Some(json!({
            "unknown_promocodes": limits.user,
            "unknown_promocodes_per_address": limits.address,
            "within_seconds": WINDOW.num_seconds(),
        })),
        found: Some(json!({"seconds_to_wait": seconds})),
    }
}

/// Counts by their keys; none where nothing was counted.
pub type Counts = HashMap<String, Count>;

/// How long an attempt has to wait instead of being answered; none if it is answered.
///
/// A user without a guess is not slowed for what others try at the same address. For a user with one
/// the address counts too.
fn wait(attempt: Attempt<'_>, counts: &Counts, limits: GuessLimits, now: Instant) -> Option<u32> {
    let Attempt { guesser, is_unknown } = attempt;
    let count = |key| {
        counts
            .get(key)
            .copied()
            .filter(|count| now < count.began_at + WINDOW)
    };
    let own = count(&guesser.user);
    let shared = guesser.address.as_ref().and_then(count);
    // What is unknown is counted before it is answered; the counts have it already.
    let seconds = |count: Option<Count>, most| match count {
        Some(count) if is_unknown => count.wait(most, now),
        Some(count) => count.wait_for_next(most, now),
        None => None,
    };
    own?;
    seconds(own, limits.user).max(seconds(shared, limits.address))
}

/// How many unknown promocodes the attempts are, for each key; those of whom `counts` says that they
/// have to wait anyway are not counted again.
#[must_use]
pub fn to_count(
    attempts: &[Attempt<'_>],
    counts: &Counts,
    limits: GuessLimits,
    now: Instant,
) -> BTreeMap<String, i64> {
    let mut added = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| attempt.is_unknown) {
        let before = Attempt {
            is_unknown: false,
            ..*attempt
        };
        if wait(before, counts, limits, now).is_none() {
            for key in attempt.guesser.keys() {
                *added.entry(key.clone()).or_default() += 1;
            }
        }
    }
    added
}

/// For each attempt, in their order, how long it has to wait instead of being answered. `counts` are
/// those with all that `added` was counted in them, by this batch; so that of what is tried together
/// no more is answered than of what is tried one by one.
#[must_use]
pub fn judge(
    attempts: &[Attempt<'_>],
    mut counts: Counts,
    added: &BTreeMap<String, i64>,
    limits: GuessLimits,
    now: Instant,
) -> Vec<Option<u32>> {
    for (key, added) in added {
        if let Some(count) = counts.get_mut(key) {
            count.count = count.count.saturating_sub(*added);
        }
    }
    // A count that is only of this batch begins with its first attempt.
    let is_counted = |counts: &Counts, key: &String| counts.get(key).is_some_and(|count| count.count > 0);
    attempts
        .iter()
        .map(|attempt| {
            if attempt.is_unknown {
                for key in attempt.guesser.keys() {
                    if let Some(count) = counts.get_mut(key) {
                        count.count = count.count.saturating_add(1);
                    }
                }
            } else if !is_counted(&counts, &attempt.guesser.user) {
                return None;
            }
            wait(*attempt, &counts, limits, now)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use uuid::Uuid;

    use super::*;

    const LIMITS: GuessLimits = GuessLimits { user: 3, address: 5 };

    fn now() -> Instant {
        Instant::from_timestamp_micros(1_763_692_800_000_000).unwrap()
    }

    fn guesser(number: u128) -> Guesser {
        Guesser::new(UserId(Uuid::from_u128(number)), Some(7))
    }

    /// What the store does: reads the counts, adds, and judges with what is there then.
    fn answered(attempts: &[(&Guesser, bool)], counts: &mut Counts, at: Instant) -> Vec<bool> {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|(guesser, is_unknown)| Attempt {
                guesser,
                is_unknown: *is_unknown,
            })
            .collect();
        let added = to_count(&attempts, counts, LIMITS, at);
        for (key, added) in &added {
            let new = Count {
                began_at: at,
                count: 0,
            };
            let count = counts.entry(key.clone()).or_insert(new);
            if at >= count.began_at + WINDOW {
                *count = new;
            }
            count.count += added;
        }
        let waits = judge(&attempts, counts.clone(), &added, LIMITS, at);
        waits.iter().map(Option::is_none).collect()
    }

    #[test]
    fn one_by_one_and_together_as_many_are_answered() {
        let ann = guesser(1);
        let (mut counts, mut one_by_one) = (Counts::new(), Vec::new());
        for _ in 0..5 {
            one_by_one.extend(answered(&[(&ann, true)], &mut counts, now()));
        }
        assert_eq!(one_by_one, [true, true, true, false, false]);
        let mut counts = Counts::new();
        assert_eq!(answered(&[(&ann, true); 5], &mut counts, now()), one_by_one);
    }

    #[test]
    fn a_right_promocode_is_answered_until_too_many_wrong_ones_were_tried() {
        let ann = guesser(1);
        let mut counts = Counts::new();
        let tried = [
            (&ann, false),
            (&ann, true),
            (&ann, true),
            (&ann, false),
            (&ann, true),
            (&ann, false),
        ];
        let expected = [true, true, true, true, true, false];
        assert_eq!(answered(&tried, &mut counts, now()), expected);
        assert_eq!(answered(&[(&ann, false)], &mut counts, now()), [false]);
        let later = now() + WINDOW;
        assert_eq!(answered(&[(&ann, false)], &mut counts, later), [true]);
        assert_eq!(
            answered(&[(&ann, true); 4], &mut counts, later),
            [true, true, true, false]
        );
    }

    #[test]
    fn an_address_has_a_limit_of_its_own_that_slows_only_users_with_a_guess() {
        let guessers: Vec<_> = (1..5).map(guesser).collect();
        let mut counts = Counts::new();
        for guesser in &guessers[..2] {
            assert_eq!(answered(&[(guesser, true); 2], &mut counts, now()), [true, true]);
        }
        assert_eq!(answered(&[(&guessers[2], true)], &mut counts, now()), [true]);
        assert_eq!(answered(&[(&guessers[2], true)], &mut counts, now()), [false]);
        assert_eq!(
            answered(&[(&guessers[3], false)], &mut counts, now()),
            [true],
            "has not guessed"
        );
        assert_eq!(answered(&[(&guessers[3], true)], &mut counts, now()), [false]);
        assert_eq!(
            answered(&[(&guessers[3], false)], &mut counts, now()),
            [false],
            "has guessed"
        );
        let elsewhere = Guesser::new(UserId(Uuid::from_u128(9)), Some(8));
        assert_eq!(answered(&[(&elsewhere, true)], &mut counts, now()), [true]);
        let unknown = Guesser::new(UserId(Uuid::from_u128(10)), None);
        assert_eq!(
            answered(&[(&unknown, true)], &mut counts, now()),
            [true],
            "no address is counted"
        );
    }

    #[test]
    fn an_attempt_that_has_to_wait_anyway_is_not_counted() {
        let ann = guesser(1);
        let mut counts = Counts::new();
        answered(&[(&ann, true); 4], &mut counts, now());
        let before = counts.clone();
        let later = now() + Duration::seconds(1);
        assert_eq!(answered(&[(&ann, true); 9], &mut counts, later), [false; 9]);
        assert_eq!(counts, before);
    }
}

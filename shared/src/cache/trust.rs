//! What a replica believes of what the cache says.
//!
//! A change drops its entry in the cache; but the cache may have been away just then, and come
//! back with the old one. So each replica also hears of changes over the bus, remembers for a
//! while which versions there are, and believes no entry that is older. And of what was there
//! before it began to listen, or before anything went wrong, it believes nothing at all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Moment;

/// For how long what was heard is remembered, at least: an entry lives for a few seconds, and a
/// service may take some more to apply what its replicas have heard already.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many changes are remembered, at most twice.
const MOST: usize = 50_000;

pub(super) struct Trust(Mutex<State>);

struct State {
    /// Whether changes are heard at this moment.
    listens: bool,
    /// Grows whenever what was there before is no longer believed.
    epoch: u64,
    /// Entries that were looked up from this moment on are believed. Absent until the first look
    /// of this epoch.
    since: Option<Moment>,
    heard: Heard,
}

/// When a look began, as far as trust cares.
#[derive(Clone, Copy)]
pub(super) struct Epoch(u64);

impl Trust {
    /// Believes nothing until it [listens](Self::listens).
    pub(super) fn deaf() -> Self {
        Self(Mutex::new(State {
            listens: false,
            epoch: 0,
            since: None,
            heard: Heard::nothing(),
        }))
    }

    /// From now on changes are heard.
    pub(super) fn listens(&self) {
        self.begin_again(|state| state.listens = true);
    }

    /// From now on changes are not heard, or some were not.
    pub(super) fn is_deaf(&self) {
        self.begin_again(|state| state.listens = false);
    }

    /// Some changes may not have reached the cache.
    pub(super) fn doubt(&self) {
        self.begin_again(|_| {});
    }

    fn begin_again(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.epoch += 1;
        state.since = None;
    }

    /// To be asked before a look begins.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.state().epoch)
    }

    /// From when on entries are believed that were found by a look which began in `epoch` and was
    /// made `at` this moment; none if no entry is.
    pub(super) fn since(&self, epoch: Epoch, at: Moment) -> Option<Moment> {
        let mut state = self.state();
        (state.listens && state.epoch == epoch.0).then(|| *state.since.get_or_insert(at))
    }

    /// There is this version of what is under `key`.
    pub(super) fn hear(&self, key: String, version: i64) {
        let has_forgotten = self.state().heard.note(key, version);
        if has_forgotten {
            self.doubt();
        }
    }

    /// Whether nothing newer was heard of.
    pub(super) fn is_newest(&self, key: &str, version: i64) -> bool {
        self.state()
            .heard
            .newest(key)
            .is_none_or(|heard| version >= heard)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest versions that were heard of, in two generations: the older one goes when the newer
/// one is old or full.
struct Heard {
    recent: HashMap<String, i64>,
    older: HashMap<String, i64>,
    since: Instant,
}

impl Heard {
    fn nothing() -> Self {
        Self {
            recent: HashMap::new(),
            older: HashMap::new(),
            since: Instant::now(),
        }
    }

    /// Whether something had to be forgotten before its time.
    fn note(&mut self, key: String, version: i64) -> bool {
        let newest = self.recent.entry(key).or_insert(version);
        *newest = version.max(*newest);
        let is_old = self.since.elapsed() >= REMEMBERED;
        let is_full = self.recent.len() >= MOST;
        if is_old || is_full {
            let forgotten = std::mem::replace(&mut self.older, std::mem::take(&mut self.recent));
            self.since = Instant::now();
            return !is_old && !forgotten.is_empty();
        }
        false
    }

    fn newest(&self, key: &str) -> Option<i64> {
        self.recent.get(key).max(self.older.get(key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: Moment = Moment(1);
    const LATE: Moment = Moment(2);

    fn listening() -> Trust {
        let trust = Trust::deaf();
        trust.listens();
        trust
    }

    #[test]
    fn who_does_not_listen_believes_nothing() {
        let trust = Trust::deaf();
        assert_eq!(trust.since(trust.epoch(), EARLY), None);
        trust.listens();
        assert_eq!(trust.since(trust.epoch(), EARLY), Some(EARLY));
        trust.is_deaf();
        assert_eq!(trust.since(trust.epoch(), LATE), None);
    }

    #[test]
    fn what_was_there_before_a_doubt_is_not_believed() {
        let trust = listening();
        let before = trust.epoch();
        assert_eq!(trust.since(before, EARLY), Some(EARLY));
        assert_eq!(trust.since(before, LATE), Some(EARLY));
        trust.doubt();
        assert_eq!(trust.since(before, LATE), None, "it looked before");
        assert_eq!(trust.since(trust.epoch(), LATE), Some(LATE));
    }

    #[test]
    fn the_newest_version_that_was_heard_of_counts_in_whatever_order() {
        let trust = listening();
        for version in [2, 3, 1] {
            trust.hear("key".to_owned(), version);
        }
        assert!(trust.is_newest("key", 3) && trust.is_newest("key", 4));
        assert!(!trust.is_newest("key", 2));
        assert!(trust.is_newest("other", 0));
    }

    #[test]
    fn who_hears_more_than_it_can_remember_doubts() {
        let trust = listening();
        let before = trust.epoch();
        trust.hear("first".to_owned(), 2);
        for number in 1..MOST {
            trust.hear(number.to_string(), 1);
        }
        assert_eq!(
            trust.since(before, EARLY),
            Some(EARLY),
            "nothing is forgotten yet"
        );
        assert!(!trust.is_newest("first", 1));
        for number in 0..MOST {
            trust.hear(format!("other {number}"), 1);
        }
        assert_eq!(trust.since(before, LATE), None);
    }
}

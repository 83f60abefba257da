//! The cache within one process.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::{ops::compute::Op, policy::EvictionPolicy, sync};

use super::{Cache, Entry, Look, Moment, Unavailable};

/// How much memory it may take, in bytes, as far as they are counted.
const MEMORY: u64 = 32 << 20;

/// What a key costs beside its own bytes and those of its value, about.
const OVERHEAD: usize = 200;

/// Keeps entries in the memory of the process. When there are too many, those that were not asked
/// for the longest go first.
pub struct EmbeddedCache {
    began: Instant,
    life: Duration,
    kept: sync::Cache<String, Kept>,
}

/// What is under a key.
#[derive(Clone)]
struct Kept {
    /// Nothing older is taken.
    version: i64,
    /// The version itself; absent when it was forgotten.
    entry: Option<Entry>,
}

impl EmbeddedCache {
    /// An empty one, whose entries live for `life`.
    #[must_use]
    pub fn new(life: Duration) -> Self {
        let weigh = |key: &String, kept: &Kept| {
            let value = kept.entry.as_ref().map_or(0, |entry| entry.value.len());
            u32::try_from(key.len() + value + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            began: Instant::now(),
            life,
            kept: sync::Cache::builder()
                .max_capacity(MEMORY)
                .weigher(weigh)
                // The default would rather not take in a key that nobody has asked for before: a
                // tombstone, for example.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(life)
                .build(),
        }
    }

    fn now(&self) -> Moment {
        Moment(0).plus(self.began.elapsed())
    }

    /// Replaces what is under `key` if `fits`, with nobody in between.
    fn keep(&self, key: &str, new: Kept, fits: impl FnOnce(i64) -> bool) {
        self.kept.entry_by_ref(key).and_compute_with(|old| {
            if old.is_none_or(|old| fits(old.value().version)) {
                Op::Put(new)
            } else {
                Op::Nop
            }
        });
    }
}

#[async_trait]
impl Cache for EmbeddedCache {
    async fn get(&self, keys: &[&str]) -> Result<Look, Unavailable> {
        let at = self.now();
        let lives = |entry: &Entry| at < entry.looked_up_at.plus(self.life);
        let look_up = |key: &&str| self.kept.get(*key)?.entry.filter(lives);
        Ok(Look {
            at,
            entries: keys.iter().map(look_up).collect(),
        })
    }

    async fn put(&self, key: &str, entry: Entry) {
        if self.now() >= entry.looked_up_at.plus(self.life) {
            return;
        }
        let version = entry.version;
        let new = Kept {
            version,
            entry: Some(entry),
        };
        self.keep(key, new, |kept| kept <= version);
    }

    async fn forget(&self, changed: &[(&str, i64)]) {
        for &(key, version) in changed {
            let tombstone = Kept { version, entry: None };
            self.keep(key, tombstone, |kept| kept < version);
        }
    }
}

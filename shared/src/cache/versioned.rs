//! What services keep in the cache, and how it stays right.

use std::{fmt::Display, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{Cache, Entry, LIFE, Moment, embedded::EmbeddedCache, trust::Trust};
use crate::{contracts::ServiceName, telemetry::metrics::CACHE_READS};

/// Something that may be kept in the cache.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync {
    /// What it is called in keys and metrics. What is written differently but could be read as
    /// this needs another name: processes of two versions may share a cache.
    const KIND: &'static str;

    /// Grows with every change, and is what events of the change carry.
    fn version(&self) -> i64;
}

/// Where something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

/// What the cache said of a key; to be given to [`Versioned::or_read`].
#[derive(Debug)]
pub struct Seen {
    key: Key,
    /// If it is to be believed.
    entry: Option<Entry>,
    /// When it was looked; absent when the cache did not answer.
    at: Option<Moment>,
}

/// The part of the cache that belongs to one service, as one replica of it sees it: which entries
/// it believes depends on what it has heard.
#[derive(Clone)]
pub struct ServiceCache(Arc<Inner>);

struct Inner {
    cache: Arc<dyn Cache>,
    service: ServiceName,
    /// What the keys of one database begin with: another platform may share the server and the namespace,
    /// and the database may be replaced.
    prefix: String,
    trust: Trust,
    /// Whether whoever applies a change can make all readers forget what was before.
    reaches_all: bool,
}

impl ServiceCache {
    /// The part of `service` in `cache`, for what is read in this `database` (see
    /// [`database_id`](crate::facts::database_id)). It says that nothing is there until it is told that
    /// changes [are heard](Self::listens).
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, service: ServiceName, database: &str) -> Self {
        Self::with_reach(cache, service, database, true)
    }

    /// A part of a cache that other replicas don't share, of which nothing is ever believed. They
    /// apply changes without this one's cache, and it hears of a change before it is applied: what
    /// it looks up in between is old, and nobody would make it forget that.
    #[must_use]
    pub fn of_one_among_many(cache: Arc<dyn Cache>, service: ServiceName, database: &str) -> Self {
        Self::with_reach(cache, service, database, false)
    }

    fn with_reach(cache: Arc<dyn Cache>, service: ServiceName, database: &str, reaches_all: bool) -> Self {
        Self(Arc::new(Inner {
            cache,
            service,
            prefix: format!("{service}:{database}"),
            trust: Trust::deaf(),
            reaches_all,
        }))
    }

    /// A part of an embedded cache of its own, for tests.
    #[must_use]
    pub fn embedded(service: ServiceName) -> Self {
        Self::new(Arc::new(EmbeddedCache::new(LIFE)), service, "embedded")
    }

    /// What is kept of this kind.
    #[must_use]
    pub fn versioned<T: Cached>(&self) -> Versioned<T> {
        Versioned {
            cache: self.clone(),
            kind: PhantomData,
        }
    }

    /// From now on this replica hears of changes: every event that is published from now on, it
    /// is told of by [`Versioned::hear`].
    pub fn listens(&self) {
        if self.0.reaches_all {
            self.0.trust.listens();
        }
    }

    /// From now on it does not, or has missed some.
    pub fn is_deaf(&self) {
        self.0.trust.is_deaf();
    }

    /// Looks for several things, of whatever kinds, in one round trip.
    pub async fn look_up<const N: usize>(&self, keys: [Key; N]) -> [Seen; N] {
        let Inner { cache, trust, .. } = &*self.0;
        let epoch = trust.epoch();
        let names: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let Ok(look) = cache.get(&names).await else {
            // Changes may be missing the cache at this moment.
            trust.doubt();
            return keys.map(|key| Seen {
                key,
                entry: None,
                at: None,
            });
        };
        let since = trust.since(epoch, look.at);
        let mut entries = look.entries.into_iter();
        keys.map(|key| {
            let believed = |entry: &Entry| {
                since.is_some_and(|since| entry.looked_up_at >= since)
                    && trust.is_newest(&key.0, entry.version)
            };
            Seen {
                entry: entries.next().flatten().filter(believed),
                at: Some(look.at),
                key,
            }
        })
    }
}

/// Things of one kind in the cache. What it says is what the database said at most a moment ago,
/// and never older than a change that this replica has heard of.
pub struct Versioned<T> {
    cache: ServiceCache,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            kind: PhantomData,
        }
    }
}

impl<T: Cached> Versioned<T> {
    /// Where the one called `id` is kept.
    #[must_use]
    pub fn key(&self, id: impl Display) -> Key {
        Key(format!("{}:{}:{id}", self.cache.0.prefix, T::KIND))
    }

    /// The one called `id`: as the cache knows it, or as `read` reads it in the database, which
    /// is then kept. That there is none is not kept.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn get_or_read<E>(
        &self,
        id: impl Display,
        read: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<T>, E> {
        let [seen] = self.cache.look_up([self.key(id)]).await;
        self.or_read(seen, read).await
    }

    /// The same for what was looked for already. `read` must not have begun before that.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn or_read<E>(
        &self,
        seen: Seen,
        read: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<T>, E> {
        let Seen { key, entry, at } = seen;
        if let Some(value) = entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()) {
            self.count("hit");
            return Ok(Some(value));
        }
        self.count(if at.is_some() { "miss" } else { "error" });
        let read = read.await?;
        if let (Some(value), Some(at)) = (&read, at) {
            self.keep(&key, value, at).await;
        }
        Ok(read)
    }

    async fn keep(&self, Key(key): &Key, value: &T, looked_up_at: Moment) {
        let Inner { cache, trust, .. } = &*self.cache.0;
        let version = value.version();
        // What can't be written is not kept.
        if let Ok(value) = serde_json::to_vec(value)
            && trust.is_newest(key, version)
        {
            let entry = Entry {
                version,
                looked_up_at,
                value: Arc::from(value),
            };
            cache.put(key, entry).await;
        }
    }

    /// Some replica applies, or has applied, this version of the one called `id`: no older one
    /// is believed here any more. Only remembers, so that it can be called wherever an event is
    /// heard.
    pub fn hear(&self, id: impl Display, version: i64) {
        self.cache.0.trust.hear(self.key(id).0, version);
    }

    /// This replica has committed these versions: no older one is believed here any more, and the
    /// cache drops those that it has.
    pub async fn changed<I: Display>(&self, changed: impl IntoIterator<Item = (I, i64)>) {
        let changed: Vec<_> = changed
            .into_iter()
            .map(|(id, version)| (self.key(id).0, version))
            .collect();
        for (key, version) in &changed {
            self.cache.0.trust.hear(key.clone(), *version);
        }
        let changed: Vec<_> = changed
            .iter()
            .map(|(key, version)| (key.as_str(), *version))
            .collect();
        self.cache.0.cache.forget(&changed).await;
    }

    /// The one place where reads of the cache are counted.
    fn count(&self, outcome: &'static str) {
        let labels = [
            ("service", self.cache.0.service.as_str()),
            ("cache", T::KIND),
            ("outcome", outcome),
        ];
        CACHE_READS.counter(&labels).increment(1);
    }
}

#[cfg(test)]
#[path = "versioned_tests.rs"]
mod tests;

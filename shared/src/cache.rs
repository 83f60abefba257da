//! What was read a moment ago, so that it need not be read again.
//!
//! Never trusted for a limit, for money, or for any change: those read the database. What a
//! service keeps here goes through [`ServiceCache`] and [`Versioned`], which make it right; the
//! [`Cache`] below them only has to keep its few promises.
//!
//! Two implementations, [`embedded`] (one process) and [`redis`] (shared by many), pass one
//! conformance suite. Which one is used is decided by the URL, in [`connect`], and nowhere else.

pub mod embedded;
pub mod redis;
mod trust;
mod versioned;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use versioned::{Cached, Key, Seen, ServiceCache, Versioned};

use self::{
    embedded::EmbeddedCache,
    redis::{RedisCache, Timing},
};
use crate::config;

/// How long an entry lives, counted from the look that missed it: the last resort, should
/// everything that drops entries have failed.
pub const LIFE: Duration = Duration::from_secs(10);

/// An instant by the cache's own clock, in microseconds; comparable within one cache only.
///
/// The caches of replicas must agree on when something was looked for; their clocks need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// So much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// One version of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which version, 0 or more and below 2^53; a higher one is newer.
    pub version: i64,
    /// When it was looked for in vain, before it was read in the database. It lives from then on,
    /// so that what was read long ago can't live long.
    pub looked_up_at: Moment,
    /// The version itself.
    pub value: Arc<[u8]>,
}

/// The answer to a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was looked: what is read in the database now and kept under the same key is kept
    /// as of this moment.
    pub at: Moment,
    /// What was there, in the order of the keys.
    pub entries: Vec<Option<Entry>>,
}

/// The cache could not be asked. Whoever asks goes on as if nothing was there; the cache has
/// logged why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache does not answer")]
pub struct Unavailable;

/// Keeps versions for a short time. Every call ends in bounded time, whatever has happened to
/// what is behind it, and losing everything loses nothing.
#[async_trait]
pub trait Cache: Send + Sync {
    /// What is there under each of these keys, in one round trip.
    async fn get(&self, keys: &[&str]) -> Result<Look, Unavailable>;

    /// Keeps an entry, unless a newer version is there or was forgotten, or the entry's life is
    /// over already.
    async fn put(&self, key: &str, entry: Entry);

    /// Drops what is older than these versions. Until the life of everything that was read before
    /// is over, no older one is taken: a reader that read the database before the change can't
    /// put the old value back.
    async fn forget(&self, changed: &[(&str, i64)]);
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL can't be read. It is not repeated here, since it may hold a password.
    #[error(
        "the URL in `cache.url` can't be read: it must be embedded: or redis://USER:PASSWORD@HOST:PORT/NUMBER, with characters like # / ? % @ of the password percent-encoded"
    )]
    InvalidUrl,
    /// The URL is of no cache that there is.
    #[error("`{0}:` is no cache: use redis://, rediss:// or embedded:")]
    UnknownScheme(String),
}

/// Whether the cache behind `url` is within the process.
#[must_use]
pub fn is_embedded(url: &str) -> bool {
    config::scheme_of(url) == Some("embedded")
}

/// The cache behind `url`: `embedded:` within the process, `redis://` or `rediss://` (over TLS)
/// for Redis, where every key begins with `namespace`.
///
/// # Errors
/// When the scheme is unknown, or the URL can't be read. A Redis that is not there is no error:
/// the cache works as soon as it is.
pub fn connect(url: &str, namespace: &str) -> Result<Arc<dyn Cache>, CacheError> {
    match config::scheme_of(url) {
        _ if is_embedded(url) => Ok(Arc::new(EmbeddedCache::new(LIFE))),
        Some("redis" | "rediss") if !config::is_plain_server_url(url) => Err(CacheError::InvalidUrl),
        Some("redis" | "rediss") => Ok(Arc::new(RedisCache::new(url, namespace, Timing::default())?)),
        Some(scheme) => Err(CacheError::UnknownScheme(scheme.to_owned())),
        None => Err(CacheError::InvalidUrl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_url_that_cannot_be_read_is_repeated() {
        for url in [
            "kopeck_hunter2_and_no_scheme",
            "hunter2://redis",
            "redis://kopeck:hunter2/x@redis/0",
            "redis://kopeck:#hunter2@redis/0",
            "redis://kopeck:hunter2@redis/first",
            "",
        ] {
            let error = connect(url, "test").err().unwrap();
            assert!(matches!(error, CacheError::InvalidUrl), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_url_of_no_cache_is_refused() {
        let error = connect("memcached://localhost", "test").err().unwrap();
        assert_eq!(
            error.to_string(),
            "`memcached:` is no cache: use redis://, rediss:// or embedded:"
        );
    }
}

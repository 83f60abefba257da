use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use async_trait::async_trait;
use serde::Deserialize;

use super::*;
use crate::cache::{Look, Unavailable};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    version: i64,
}

impl Cached for Price {
    const KIND: &'static str = "price";

    fn version(&self) -> i64 {
        self.version
    }
}

/// A cache that may be away; what it is told to forget meanwhile, it does not forget.
struct Unreliable {
    cache: EmbeddedCache,
    is_away: AtomicBool,
}

impl Unreliable {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            cache: EmbeddedCache::new(LIFE),
            is_away: AtomicBool::new(false),
        })
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Cache for Unreliable {
    async fn get(&self, keys: &[&str]) -> Result<Look, Unavailable> {
        if self.is_away() {
            return Err(Unavailable);
        }
        self.cache.get(keys).await
    }

    async fn put(&self, key: &str, entry: Entry) {
        if !self.is_away() {
            self.cache.put(key, entry).await;
        }
    }

    async fn forget(&self, changed: &[(&str, i64)]) {
        if !self.is_away() {
            self.cache.forget(changed).await;
        }
    }
}

/// The id of the database that is read.
const DATABASE: &str = "one";

/// One replica of a service on this cache.
fn replica(cache: Arc<dyn Cache>) -> (ServiceCache, Versioned<Price>) {
    let cache = ServiceCache::new(cache, ServiceName::Loyalty, DATABASE);
    cache.listens();
    (cache.clone(), cache.versioned())
}

fn alone() -> Versioned<Price> {
    replica(Arc::new(EmbeddedCache::new(LIFE))).1
}

/// Reads as the database says, and whether it was asked.
async fn read(prices: &Versioned<Price>, database: i64) -> (i64, bool) {
    let asked = AtomicBool::new(false);
    let read = async {
        asked.store(true, Ordering::SeqCst);
        Ok::<_, Infallible>(Some(Price { version: database }))
    };
    let price = prices.get_or_read("basic", read).await.unwrap().unwrap();
    (price.version, asked.into_inner())
}

#[tokio::test]
async fn what_was_read_is_not_read_again() {
    let prices = alone();
    assert_eq!(read(&prices, 1).await, (1, true));
    assert_eq!(read(&prices, 2).await, (1, false));
}

#[tokio::test]
async fn what_was_read_in_another_database_is_not_found() {
    let cache: Arc<dyn Cache> = Arc::new(EmbeddedCache::new(LIFE));
    let (_, prices) = replica(Arc::clone(&cache));
    assert_eq!(read(&prices, 1).await, (1, true));
    let other = ServiceCache::new(cache, ServiceName::Loyalty, "another");
    other.listens();
    assert_eq!(read(&other.versioned(), 2).await, (2, true));
    assert_eq!(read(&prices, 3).await, (1, false));
}

#[tokio::test]
async fn what_others_cannot_make_forget_is_not_believed() {
    let cache: Arc<dyn Cache> = Arc::new(EmbeddedCache::new(LIFE));
    let cache = ServiceCache::of_one_among_many(cache, ServiceName::Loyalty, DATABASE);
    cache.listens();
    let prices = cache.versioned();
    assert_eq!(read(&prices, 1).await, (1, true));
    assert_eq!(read(&prices, 2).await, (2, true));
}

#[tokio::test]
async fn what_is_not_there_is_not_kept() {
    let prices = alone();
    let nothing = prices.get_or_read("basic", async { Ok::<_, Infallible>(None) });
    assert_eq!(nothing.await, Ok(None));
    assert_eq!(read(&prices, 1).await, (1, true));
}

#[tokio::test]
async fn an_error_of_the_database_is_told_and_not_kept() {
    let prices = alone();
    assert_eq!(
        prices.get_or_read("basic", async { Err("gone") }).await,
        Err("gone")
    );
    assert_eq!(read(&prices, 1).await, (1, true));
}

#[tokio::test]
async fn a_change_is_read_at_once_and_kept_from_then_on() {
    let prices = alone();
    read(&prices, 1).await;
    prices.changed([("basic", 2)]).await;
    assert_eq!(read(&prices, 2).await, (2, true));
    assert_eq!(read(&prices, 3).await, (2, false));
    // Late and again.
    prices.changed([("basic", 1), ("basic", 2)]).await;
    assert_eq!(read(&prices, 3).await, (2, false));
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let prices = alone();
    let slow = async {
        let read = Some(Price { version: 1 });
        prices.changed([("basic", 2)]).await;
        Ok::<_, Infallible>(read)
    };
    prices.get_or_read("basic", slow).await.unwrap();
    assert_eq!(read(&prices, 2).await, (2, true));
}

#[tokio::test]
async fn a_change_that_the_cache_has_missed_is_heard_all_the_same() {
    let cache = Unreliable::new();
    let (_, here) = replica(cache.clone());
    let (_, there) = replica(cache.clone());
    // What was there before the first look of a replica, it does not believe.
    read(&there, 1).await;
    read(&here, 1).await;
    assert_eq!(read(&there, 2).await, (1, false), "they share it");
    cache.is_away.store(true, Ordering::SeqCst);
    here.changed([("basic", 2)]).await;
    there.hear("basic", 2);
    // Neither has noticed that the cache was away.
    cache.is_away.store(false, Ordering::SeqCst);
    assert_eq!(read(&here, 2).await, (2, true));
    assert_eq!(read(&there, 3).await, (2, false));
}

#[tokio::test]
async fn nobody_else_can_put_back_what_was_heard_to_be_old() {
    let cache = Unreliable::new();
    let (_, here) = replica(cache.clone());
    let (_, late) = replica(cache);
    here.hear("basic", 2);
    // It has not heard of the change yet, nor has the database that it reads.
    read(&late, 1).await;
    assert_eq!(read(&here, 2).await, (2, true));
    assert_eq!(read(&late, 3).await, (2, false));
}

#[tokio::test]
async fn while_the_cache_is_away_the_database_is_read_and_afterwards_nothing_old_is_believed() {
    let cache = Unreliable::new();
    let (_, prices) = replica(cache.clone());
    read(&prices, 1).await;
    cache.is_away.store(true, Ordering::SeqCst);
    assert_eq!(read(&prices, 1).await, (1, true));
    assert_eq!(read(&prices, 2).await, (2, true));
    cache.is_away.store(false, Ordering::SeqCst);
    assert_eq!(read(&prices, 2).await, (2, true), "nobody has told of the change");
    assert_eq!(read(&prices, 3).await, (2, false));
}

#[tokio::test]
async fn what_was_there_before_a_replica_listened_is_not_believed() {
    let cache: Arc<dyn Cache> = Arc::new(EmbeddedCache::new(LIFE));
    let (_, old) = replica(cache.clone());
    read(&old, 1).await;
    let (connection, new) = replica(cache);
    assert_eq!(read(&new, 2).await, (2, true));
    assert_eq!(read(&new, 3).await, (2, false));
    connection.is_deaf();
    assert_eq!(read(&new, 3).await, (3, true));
    assert_eq!(read(&new, 3).await, (3, true));
    connection.listens();
    assert_eq!(read(&new, 4).await, (4, true));
    assert_eq!(read(&new, 5).await, (4, false));
}

#[tokio::test]
async fn several_things_are_looked_for_together() {
    let prices = alone();
    read(&prices, 1).await;
    let keys = [prices.key("other"), prices.key("basic")];
    let [other, basic] = prices.cache.look_up(keys).await;
    let nothing = async { Ok::<_, Infallible>(None) };
    assert_eq!(prices.or_read(other, nothing).await, Ok(None));
    let known = prices.or_read(basic, async { Err(()) }).await;
    assert_eq!(known, Ok(Some(Price { version: 1 })));
}

#[tokio::test]
async fn what_cannot_be_read_any_more_is_read_in_the_database() {
    let cache = Arc::new(EmbeddedCache::new(LIFE));
    let (_, prices) = replica(cache.clone());
    let Key(key) = prices.key("basic");
    let entry = Entry {
        version: 1,
        looked_up_at: cache.get(&[&key]).await.unwrap().at,
        value: Arc::from(&b"from another version of the program"[..]),
    };
    cache.put(&key, entry).await;
    assert_eq!(read(&prices, 1).await, (1, true));
    assert_eq!(read(&prices, 2).await, (1, false));
}

/// Many readers while the price changes: whoever asks after a change was told gets it, or a newer
/// one, even if the cache forgets nothing.
async fn no_reader_is_behind_what_was_told(cache: Arc<Unreliable>) {
    const CHANGES: i64 = 300;
    let (_, prices) = replica(cache);
    let (database, told) = (Arc::new(AtomicI64::new(1)), Arc::new(AtomicI64::new(1)));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (prices, database, told) = (prices.clone(), Arc::clone(&database), Arc::clone(&told));
            tokio::spawn(async move {
                while told.load(Ordering::SeqCst) < CHANGES {
                    let least = told.load(Ordering::SeqCst);
                    let read = async {
                        let version = database.load(Ordering::SeqCst);
                        // What was read may be old by the time it is kept.
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(Some(Price { version }))
                    };
                    let price = prices.get_or_read("basic", read).await.unwrap().unwrap();
                    assert!(price.version >= least, "{} after {least}", price.version);
                }
            })
        })
        .collect();
    for version in 2..=CHANGES {
        database.store(version, Ordering::SeqCst);
        prices.changed([("basic", version)]).await;
        told.store(version, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_is_behind_what_was_told_to_a_cache_that_works() {
    no_reader_is_behind_what_was_told(Unreliable::new()).await;
}

//! The promises, as functions of what makes a cache whose entries live so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use shared::{
    cache::{Cache, Entry, Look, Moment},
    testing::eventually,
};

pub type Make<'a> = &'a (dyn Fn(Duration) -> Arc<dyn Cache> + Sync);

/// No test lasts so long.
const LONG: Duration = Duration::from_secs(600);
/// Over soon, and longer than a few calls take.
const SHORT: Duration = Duration::from_millis(400);

pub fn entry(version: i64, looked_up_at: Moment, value: &str) -> Entry {
    Entry {
        version,
        looked_up_at,
        value: Arc::from(value.as_bytes()),
    }
}

pub async fn look(cache: &Arc<dyn Cache>, key: &str) -> Look {
    cache.get(&[key]).await.expect("it answers")
}

/// The moment at which it is looked.
pub async fn now(cache: &Arc<dyn Cache>) -> Moment {
    look(cache, "").await.at
}

/// What is there.
pub async fn value(cache: &Arc<dyn Cache>, key: &str) -> Option<String> {
    let look = look(cache, key).await;
    let entry = look.entries.into_iter().next().unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

/// Reads nothing and puts this.
pub async fn put(cache: &Arc<dyn Cache>, key: &str, version: i64, value: &str) {
    let at = now(cache).await;
    cache.put(key, entry(version, at, value)).await;
}

pub async fn what_is_put_is_there_and_nothing_else(make: Make<'_>) {
    let cache = make(LONG);
    let at = now(&cache).await;
    cache.put("a", entry(1, at, "one")).await;
    assert_eq!(look(&cache, "a").await.entries, [Some(entry(1, at, "one"))]);
    assert_eq!(look(&cache, "b").await.entries, [None]);
    assert!(look(&cache, "a").await.at >= at, "time goes on");
}

pub async fn several_keys_are_answered_in_their_order(make: Make<'_>) {
    let cache = make(LONG);
    let at = now(&cache).await;
    for (key, version) in [("a", 1), ("b", 2), ("c", 3)] {
        cache.put(key, entry(version, at, key)).await;
    }
    let look = cache.get(&["c", "nobody", "a", "c"]).await.unwrap();
    let [c, a] = [entry(3, at, "c"), entry(1, at, "a")];
    assert_eq!(look.entries, [Some(c.clone()), None, Some(a), Some(c)]);
    assert_eq!(cache.get(&[]).await.unwrap().entries, []);
}

pub async fn a_newer_version_replaces_an_older_one_and_not_the_other_way_round(make: Make<'_>) {
    let cache = make(LONG);
    put(&cache, "a", 9, "nine").await;
    put(&cache, "a", 10, "ten").await;
    put(&cache, "a", 9, "nine").await;
    assert_eq!(value(&cache, "a").await.as_deref(), Some("ten"));
    put(&cache, "a", 1 << 52, "most").await;
    put(&cache, "a", (1 << 52) - 1, "less").await;
    assert_eq!(value(&cache, "a").await.as_deref(), Some("most"));
}

pub async fn what_is_forgotten_is_gone_and_only_what_is_not_older_is_taken(make: Make<'_>) {
    let cache = make(LONG);
    put(&cache, "a", 1, "one").await;
    put(&cache, "b", 1, "another").await;
    cache.forget(&[("a", 3)]).await;
    assert_eq!(value(&cache, "a").await, None);
    put(&cache, "a", 2, "two").await;
    assert_eq!(value(&cache, "a").await, None);
    put(&cache, "a", 3, "three").await;
    assert_eq!(value(&cache, "a").await.as_deref(), Some("three"));
    assert_eq!(value(&cache, "b").await.as_deref(), Some("another"));
}

pub async fn forgetting_an_older_version_changes_nothing(make: Make<'_>) {
    let cache = make(LONG);
    put(&cache, "a", 3, "three").await;
    cache.forget(&[("a", 2)]).await;
    // Late or again: that is the version which it is told of.
    cache.forget(&[("a", 3)]).await;
    assert_eq!(value(&cache, "a").await.as_deref(), Some("three"));
    cache.forget(&[("a", 5)]).await;
    cache.forget(&[("a", 4)]).await;
    put(&cache, "a", 4, "four").await;
    assert_eq!(value(&cache, "a").await, None);
}

pub async fn several_keys_are_forgotten_at_once(make: Make<'_>) {
    let cache = make(LONG);
    for key in ["a", "b", "c"] {
        put(&cache, key, 1, key).await;
    }
    cache.forget(&[("a", 2), ("c", 2)]).await;
    cache.forget(&[]).await;
    assert_eq!(value(&cache, "a").await, None);
    assert_eq!(value(&cache, "b").await.as_deref(), Some("b"));
    assert_eq!(value(&cache, "c").await, None);
}

pub async fn a_reader_that_began_before_a_change_cannot_put_the_old_value_back(make: Make<'_>) {
    let cache = make(LONG);
    // Nothing is there, the reader reads the old value, it changes, the reader puts what it read.
    let before = now(&cache).await;
    cache.forget(&[("a", 2)]).await;
    cache.put("a", entry(1, before, "old")).await;
    assert_eq!(value(&cache, "a").await, None);
    // The same though somebody has put the new value in between.
    put(&cache, "a", 2, "new").await;
    cache.put("a", entry(1, before, "old")).await;
    assert_eq!(value(&cache, "a").await.as_deref(), Some("new"));
}

pub async fn concurrent_readers_never_leave_an_old_value_behind(make: Make<'_>) {
    const READERS: i64 = 6;
    const CHANGES: i64 = 60;
    let cache = make(LONG);
    let counter = |value| Arc::new(AtomicI64::new(value));
    let (database, forgotten, looks) = (counter(1), counter(1), counter(0));
    let readers = (0..READERS).map(|number| {
        let cache = Arc::clone(&cache);
        let (database, forgotten, looks) =
            (Arc::clone(&database), Arc::clone(&forgotten), Arc::clone(&looks));
        tokio::spawn(async move {
            while forgotten.load(Ordering::SeqCst) < CHANGES {
                let least = forgotten.load(Ordering::SeqCst);
                let look = look(&cache, "a").await;
                looks.fetch_add(1, Ordering::SeqCst);
                if let Some(entry) = &look.entries[0] {
                    assert!(entry.version >= least, "{} after {least}", entry.version);
                    continue;
                }
                let version = database.load(Ordering::SeqCst);
                // Every other reader is slow, and puts what is old by then.
                while number % 2 == 0 && forgotten.load(Ordering::SeqCst) <= version.min(CHANGES - 1) {
                    tokio::task::yield_now().await;
                }
                cache.put("a", entry(version, look.at, "x")).await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for version in 2..=CHANGES {
        database.store(version, Ordering::SeqCst);
        cache.forget(&[("a", version)]).await;
        forgotten.store(version, Ordering::SeqCst);
        let enough = looks.load(Ordering::SeqCst) + 2 * READERS;
        while looks.load(Ordering::SeqCst) < enough && !readers.iter().any(|reader| reader.is_finished()) {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

pub async fn an_entry_dies(make: Make<'_>) {
    let cache = make(SHORT);
    eventually("it is there", || async {
        put(&cache, "a", 1, "one").await;
        value(&cache, "a").await
    })
    .await;
    eventually("it is gone", || async {
        value(&cache, "a").await.is_none().then_some(())
    })
    .await;
}

pub async fn what_was_looked_for_long_ago_is_not_taken(make: Make<'_>) {
    let cache = make(SHORT);
    let before = now(&cache).await;
    // Something looked up then is dead by now.
    put(&cache, "other", 1, "one").await;
    eventually("a life is over", || async {
        value(&cache, "other").await.is_none().then_some(())
    })
    .await;
    cache.put("a", entry(1, before, "old")).await;
    assert_eq!(value(&cache, "a").await, None);
}

pub async fn a_dead_entry_still_keeps_older_ones_out(make: Make<'_>) {
    const LIFE: Duration = Duration::from_secs(3);
    let cache = make(LIFE);
    let early = now(&cache).await;
    let late = eventually("half a life is over", || async {
        let at = now(&cache).await;
        (at >= early.plus(LIFE / 2)).then_some(at)
    })
    .await;
    cache.put("a", entry(2, early, "new")).await;
    eventually("it is dead", || async {
        value(&cache, "a").await.is_none().then_some(())
    })
    .await;
    cache.put("a", entry(1, late, "old")).await;
    assert_eq!(value(&cache, "a").await, None);
}

pub async fn any_bytes_can_be_kept(make: Make<'_>) {
    let cache = make(LONG);
    let at = now(&cache).await;
    for (key, bytes) in [
        ("empty", &b""[..]),
        ("colons", b"1:2:3"),
        ("binary", b"\0\r\n\xff:"),
        ("СКИДКА 10%", "\u{1f3ac}".as_bytes()),
    ] {
        let kept = Entry {
            version: 0,
            looked_up_at: at,
            value: Arc::from(bytes),
        };
        cache.put(key, kept.clone()).await;
        assert_eq!(look(&cache, key).await.entries, [Some(kept)], "{key}");
    }
}

//! What only the Redis cache promises, while its server is well.

use std::{sync::Arc, time::Duration};

use shared::{
    cache::{
        self, Cache,
        redis::{RedisCache, Timing},
    },
    clock::{Clock, SystemClock},
    ids::new_uuid,
    testing::server_variable,
};

use crate::promises::{put, value};

/// One whose calls are not given up on a busy machine.
pub fn patient(url: &str, namespace: &str, life: Duration) -> Arc<dyn Cache> {
    let timing = Timing {
        life,
        patience: Duration::from_secs(20),
        ..Timing::default()
    };
    Arc::new(RedisCache::new(url, namespace, timing).unwrap())
}

/// One with keys of its own.
pub fn cache(life: Duration) -> Arc<dyn Cache> {
    patient(&server_variable("TEST_REDIS_URL"), &namespace(), life)
}

fn namespace() -> String {
    format!("cache-{}", new_uuid(SystemClock.now()))
}

#[tokio::test]
async fn processes_share_what_they_keep_and_namespaces_do_not() {
    let (url, namespace) = (server_variable("TEST_REDIS_URL"), namespace());
    let [one, other] = [(); 2].map(|()| patient(&url, &namespace, cache::LIFE));
    put(&one, "a", 1, "one").await;
    assert_eq!(value(&other, "a").await.as_deref(), Some("one"));
    other.forget(&[("a", 2)]).await;
    assert_eq!(value(&one, "a").await, None);
    put(&one, "a", 2, "two").await;
    assert_eq!(value(&cache(cache::LIFE), "a").await, None);
}

#[tokio::test]
async fn the_url_decides_which_cache_it_is() {
    let (url, namespace) = (server_variable("TEST_REDIS_URL"), namespace());
    let cache = cache::connect(&url, &namespace).unwrap();
    // With its real, short patience: on a busy machine it may take a few tries.
    shared::testing::eventually("it is shared", || async {
        let at = cache.get(&[""]).await.ok()?.at;
        cache.put("a", crate::promises::entry(1, at, "one")).await;
        value(&patient(&url, &namespace, cache::LIFE), "a").await
    })
    .await;
    assert_eq!(
        value(&cache::connect("embedded:", &namespace).unwrap(), "a").await,
        None
    );
}

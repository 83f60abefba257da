//! Keys that follow one another.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use chrono::Duration;
use serde_json::json;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    testing::{TestDatabase, TestService, eventually},
};

use crate::{DATABASES, log_in, register};

fn kid_of(token: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let header = token.split('.').next().unwrap();
    let header: serde_json::Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn published(service: &TestService) -> Vec<String> {
    let jwks = service.api.get("/auth/v1/jwks.json").await.expect(200);
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_have_expired() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let service =
            TestService::start_with(auth::definition(), database, Arc::new(clock.clone()), |_| {}).await;
        register(&service.api, "ann@example.com").await;
        let before = log_in(&service.api, "ann@example.com").await;
        let old = kid_of(&before);
        let new = auth::rotate_keys(&service.db, Duration::seconds(65))
            .await
            .unwrap()
            .kid;
        assert_eq!(published(&service).await, [old.clone(), new.clone()]);
        assert_eq!(
            kid_of(&log_in(&service.api, "ann@example.com").await),
            old,
            "not yet"
        );
        clock.advance(Duration::seconds(70));
        let after = log_in(&service.api, "ann@example.com").await;
        assert_eq!(kid_of(&after), new);
        for token in [&before, &after] {
            service.api.with_token(token).get("/auth/v1/me").await.expect(200);
        }
        clock.advance(Duration::hours(24));
        assert_eq!(published(&service).await.len(), 2, "the longest token is a day");
        clock.advance(Duration::hours(2));
        assert_eq!(published(&service).await, [new]);
        log_in(&service.api, "ann@example.com").await;
        assert_eq!(auth::list_keys(&service.db).await.unwrap().len(), 1);
    }
}

/// Rotated in haste: what was made last signs, also where an older key was to begin later.
#[tokio::test]
async fn of_several_keys_that_wait_the_newest_signs_and_stays() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let service =
            TestService::start_with(auth::definition(), database, Arc::new(clock.clone()), |_| {}).await;
        register(&service.api, "ann@example.com").await;
        let first = kid_of(&log_in(&service.api, "ann@example.com").await);
        auth::rotate_keys(&service.db, Duration::seconds(65))
            .await
            .unwrap();
        clock.advance(Duration::seconds(5));
        let newest = auth::rotate_keys(&service.db, Duration::seconds(10))
            .await
            .unwrap()
            .kid;
        assert_eq!(kid_of(&log_in(&service.api, "ann@example.com").await), first);
        for later in [
            Duration::seconds(15),
            Duration::seconds(60),
            Duration::hours(25),
            Duration::hours(2),
        ] {
            clock.advance(later);
            let token = log_in(&service.api, "ann@example.com").await;
            assert_eq!(kid_of(&token), newest, "after {later}");
            assert!(published(&service).await.contains(&newest), "after {later}");
            service.api.with_token(token).get("/auth/v1/me").await.expect(200);
        }
        assert_eq!(published(&service).await, [newest]);
    }
}

/// Two replicas, and requests all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_keys_are_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let replica = || {
        let folder = folder.path().to_path_buf();
        TestService::start_with(
            auth::definition(),
            TestDatabase::Sqlite,
            Arc::new(SystemClock),
            move |config| config.data = folder,
        )
    };
    let replicas = [replica().await, replica().await];
    register(&replicas[0].api, "ann@example.com").await;
    let tokens = {
        let body = json!({"email": "ann@example.com", "password": crate::PASSWORD});
        replicas[0].api.post("/auth/v1/login", &body).await.expect(200)
    };
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let stream = async {
        let mut tokens = tokens;
        let mut kids = std::collections::BTreeSet::new();
        let mut turn = 0;
        while !stop.load(Ordering::SeqCst) {
            let [signs, checks] = [&replicas[turn % 2], &replicas[(turn + 1) % 2]];
            turn += 1;
            let body = json!({"refresh_token": tokens["refresh_token"]});
            tokens = signs.api.post("/auth/v1/refresh", &body).await.expect(200);
            let token = tokens["access_token"].as_str().unwrap();
            kids.insert(kid_of(token));
            for replica in [signs, checks] {
                replica.api.with_token(token).get("/auth/v1/me").await.expect(200);
            }
            served.fetch_add(1, Ordering::SeqCst);
        }
        kids
    };
    let rotate = async {
        for _ in 0..2 {
            // Longer than a verifier waits before it looks for an unknown key once more.
            let key = auth::rotate_keys(&replicas[0].db, Duration::seconds(3))
                .await
                .unwrap();
            eventually("the new key signs", || async {
                let signing = SystemClock.now() > key.signs_from + Duration::milliseconds(500);
                signing.then_some(())
            })
            .await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    let (kids, ()) = tokio::join!(stream, rotate);
    assert_eq!(kids.len(), 3, "each signed");
    assert!(served.load(Ordering::SeqCst) > 10);
}

//! Counts, on both databases.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Duration;
use futures::future::join_all;
use shared::{
    clock::Instant,
    throttle::{self, Count, WINDOW},
};

use crate::{TestDb, postgres, sqlite};

fn began_at() -> Instant {
    Instant::from_timestamp_micros(1_763_692_800_000_000).unwrap()
}

fn counted(entries: &[(&str, i64)]) -> BTreeMap<String, i64> {
    entries
        .iter()
        .map(|(key, count)| ((*key).to_owned(), *count))
        .collect()
}

async fn counts(test: &TestDb, keys: &[&str]) -> BTreeMap<String, (i64, Instant)> {
    let keys: BTreeSet<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    let found = throttle::find_many(test.db.reader(), &keys).await.unwrap();
    found
        .into_iter()
        .map(|(key, count)| (key, (count.count, count.began_at)))
        .collect()
}

async fn counts_add_up_and_begin_anew_behind_their_window(test: &TestDb) {
    let (conn, now) = (test.db.writer(), began_at());
    throttle::add_many(conn, &counted(&[("a", 2), ("b", 1)]), now)
        .await
        .unwrap();
    let later = now + Duration::seconds(10);
    throttle::add_many(conn, &counted(&[("a", 3), ("c", 4)]), later)
        .await
        .unwrap();
    let expected = [("a", (5, now)), ("b", (1, now)), ("c", (4, later))];
    let expected = expected.map(|(key, count)| (key.to_owned(), count));
    assert_eq!(
        counts(test, &["a", "b", "c", "none"]).await,
        BTreeMap::from(expected)
    );

    let over = now + WINDOW;
    throttle::add_many(conn, &counted(&[("a", 2), ("c", 2)]), over)
        .await
        .unwrap();
    let one_more = throttle::add(conn, "a", None, over).await.unwrap();
    assert_eq!(
        one_more,
        Count {
            began_at: over,
            count: 3
        }
    );
    let expected = [("a", (3, over)), ("c", (6, later))];
    let expected = expected.map(|(key, count)| (key.to_owned(), count));
    assert_eq!(counts(test, &["a", "c"]).await, BTreeMap::from(expected));

    throttle::take_back(conn, "a").await.unwrap();
    for _ in 0..3 {
        throttle::take_back(conn, "b").await.unwrap();
    }
    throttle::take_back(conn, "none").await.unwrap();
    let left = counts(test, &["a", "b"]).await;
    assert_eq!((left["a"].0, left["b"].0), (2, 0));

    throttle::forget_before(conn, later).await.unwrap();
    assert_eq!(
        counts(test, &["a", "b", "c"]).await.len(),
        2,
        "only b began before"
    );
}

async fn however_many_count_at_once_each_gets_another_number(test: &TestDb) {
    let add = || async {
        let counted = test.db.write::<_, sea_orm::DbErr, _>(|tx| async move {
            throttle::add(tx.conn(), "key", None, began_at()).await
        });
        counted.await.unwrap().count
    };
    let mut numbers = join_all((0..40).map(|_| add())).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let test = sqlite().await;
    counts_add_up_and_begin_anew_behind_their_window(&test).await;
    however_many_count_at_once_each_gets_another_number(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let test = postgres().await;
    counts_add_up_and_begin_anew_behind_their_window(&test).await;
    however_many_count_at_once_each_gets_another_number(&test).await;
}

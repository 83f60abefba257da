//! Machines whose clocks differ, on one database.

use std::sync::Arc;

use chrono::Duration;
use shared::{
    clock::{Clock, Instant, ManualClock, SystemClock},
    db::Db,
};

use crate::{open_at, postgres, postgres_at, sqlite_at};

/// The clock of a machine that is wrong.
struct Wrong(Duration);

impl Clock for Wrong {
    fn now(&self) -> Instant {
        SystemClock.now() + self.0
    }

    fn is_machine(&self) -> bool {
        true
    }
}

fn wrong(seconds: i64) -> Arc<dyn Clock> {
    Arc::new(Wrong(Duration::seconds(seconds)))
}

/// The test's machine is that of the database.
fn is_right(instant: Instant) -> bool {
    (instant - SystemClock.now()).abs() < Duration::seconds(1)
}

async fn time_in_a_transaction(db: &Db) -> Instant {
    db.write(|tx| async move { Ok::<_, sea_orm::DbErr>(tx.now()) })
        .await
        .unwrap()
}

#[tokio::test]
async fn the_databases_clock_counts_and_not_the_machines() {
    for seconds in [-90, 90, 86_400] {
        let db = postgres_at(wrong(seconds)).await.db;
        assert!(is_right(db.now()), "{seconds}");
        assert!(is_right(db.clock().now()), "{seconds}");
        assert!(is_right(time_in_a_transaction(&db).await), "{seconds}");
        let offset = db.measure_clock().await.unwrap();
        let expected = f64::from(i32::try_from(seconds).unwrap());
        assert!((offset - expected).abs() < 1.0, "{seconds}: {offset}");
        assert!((db.clock_offset() - expected).abs() < 1.0, "{seconds}");
    }
    let db = postgres().await.db;
    assert!(is_right(db.now()));
    assert!(db.clock_offset().abs() < 1.0);
}

#[tokio::test]
async fn a_file_has_no_clock_and_a_clock_that_tests_move_is_left_alone() {
    let file = sqlite_at(wrong(90)).await.db;
    assert!(!is_right(file.now()));
    let then = SystemClock.now() - Duration::days(400);
    let moved = ManualClock::at(then);
    let db = postgres_at(Arc::new(moved.clone())).await.db;
    assert_eq!(db.now(), then);
    moved.advance(Duration::days(-1));
    assert_eq!(time_in_a_transaction(&db).await, then - Duration::days(1));
}

/// Replicas whose machines differ by three minutes agree within a second, and none goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_agree_and_time_never_goes_back() {
    let first = postgres_at(wrong(-90)).await;
    let (second, _) = open_at(&first.url, wrong(90)).await;
    let mut last = [first.db.now(), second.now()];
    for round in 0..200 {
        for (db, last) in [&first.db, &second].into_iter().zip(&mut last) {
            if round % 20 == 0 {
                db.measure_clock().await.unwrap();
            }
            let now = db.now();
            assert!(now >= *last, "{now} after {last}");
            *last = now;
        }
        assert!((last[0] - last[1]).abs() < Duration::seconds(1), "{last:?}");
    }
}

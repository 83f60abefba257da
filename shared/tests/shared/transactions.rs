//! What pitfalls say about transactions, held by tests.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use migration::{pending, up};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use shared::{
    clock::{Clock, SystemClock},
    contracts::{Locale, ServiceName, UserState, UserStatus},
    db::race,
    ids::UserId,
    inbox::HandleError,
    users,
};

use crate::{TestDb, open, postgres, sqlite};

fn user() -> UserState {
    let now = SystemClock.now();
    UserState {
        user_id: UserId::new(now),
        version: 1,
        status: UserStatus::Active,
        locale: Locale::En,
        time_zone: None,
        registered_at: now,
    }
}

/// Polls `work` as often as `polls` says, giving the database's answers time to come in between,
/// then drops it: what a client does that hangs up.
async fn hang_up_after(polls: u64, work: impl Future<Output = Result<(), DbErr>>) {
    let mut work = std::pin::pin!(work);
    for _ in 0..polls {
        if futures::poll!(&mut work).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A dropped `begin()` leaves its transaction open on the connection; what the next borrower
/// writes then belongs to it, and vanishes with it (sqlx issues 4385, 4393).
async fn hang_up_in_the_middle(test: TestDb) {
    let (other, _) = open(&test.url).await;
    for round in 0..300_u64 {
        let state = user();
        let states = std::slice::from_ref(&state);
        let work = test
            .db
            .write(|tx| async move { users::replicate(tx.conn(), states).await });
        hang_up_after(round % 60, work).await;
        // The next borrower, with and without a transaction of its own.
        let next = user();
        let states = std::slice::from_ref(&next);
        if round % 120 < 60 {
            users::replicate(test.db.writer(), states).await.unwrap();
        } else {
            let work = test
                .db
                .write(|tx| async move { users::replicate(tx.conn(), states).await });
            work.await.unwrap();
        }
        let seen = users::find(other.reader(), next.user_id).await.unwrap();
        assert!(
            seen.is_some(),
            "what was written in round {round} is seen by nobody else"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_poison_no_connection_on_postgres() {
    hang_up_in_the_middle(postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_poison_no_connection_on_sqlite() {
    hang_up_in_the_middle(sqlite().await).await;
}

/// Who is told "no" and asks again must not meet the locks of what was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_holds_no_lock_when_it_is_told() {
    let test = postgres().await;
    for round in 0..200 {
        let is_free: Result<(), DbErr> = test
            .db
            .write(|tx| async move {
                let ask = "SELECT pg_try_advisory_xact_lock(1) AS is_free".to_owned();
                let ask = Statement::from_string(DbBackend::Postgres, ask);
                let row = tx.conn().query_one_raw(ask).await?.unwrap();
                let is_free: bool = row.try_get("", "is_free")?;
                Err(DbErr::Custom(format!("is free: {is_free}")))
            })
            .await;
        assert_eq!(
            is_free.unwrap_err().to_string(),
            "Custom Error: is free: true",
            "in round {round}"
        );
    }
}

async fn set_locale(tx: &shared::db::Tx, user: UserId) -> Result<(), DbErr> {
    let sql = format!("UPDATE users SET version = version + 1 WHERE id = '{user}'");
    tx.conn().execute_unprepared(&sql).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_deadlock_run_again_and_all_commit() {
    let test = postgres().await;
    let (one, two) = (user(), user());
    let both = &[one.clone(), two.clone()];
    test.db
        .write(|tx| async move { users::replicate(tx.conn(), both).await })
        .await
        .unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let mut tasks = Vec::new();
    for (first, second) in [(one.user_id, two.user_id), (two.user_id, one.user_id)] {
        let (db, barrier) = (test.db.clone(), Arc::clone(&barrier));
        let met = Arc::new(std::sync::atomic::AtomicBool::new(false));
        tasks.push(tokio::spawn(async move {
            let (barrier, met) = (&barrier, &met);
            db.write(|tx| async move {
                set_locale(&tx, first).await?;
                // Only the first time: the loser's second run has nobody to meet.
                if !met.swap(true, std::sync::atomic::Ordering::SeqCst) {
                    barrier.wait().await;
                }
                set_locale(&tx, second).await
            })
            .await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for user in [one.user_id, two.user_id] {
        let row = users::find(test.db.reader(), user).await.unwrap().unwrap();
        assert_eq!(row.version, 3, "each transaction counts once");
    }
}

#[tokio::test]
async fn a_transaction_that_calls_it_a_race_runs_again_from_the_start() {
    for test in [sqlite().await, postgres().await] {
        let runs = &AtomicU32::new(0);
        let (first, second) = (&user(), &user());
        let outcome: Result<u32, HandleError> = test
            .db
            .write(|tx| async move {
                let run = runs.fetch_add(1, Ordering::SeqCst);
                let state = if run == 0 { first } else { second };
                users::replicate(tx.conn(), std::slice::from_ref(state)).await?;
                match run {
                    0 => Err(HandleError::rule(race("somebody was faster"))),
                    1 => Err(HandleError::Store(race("and again"))),
                    _ => Ok(run),
                }
            })
            .await;
        assert_eq!(outcome.unwrap(), 2);
        let lost = users::find(test.db.reader(), first.user_id).await.unwrap();
        assert!(lost.is_none(), "a run that lost leaves nothing behind");
        let kept = users::find(test.db.reader(), second.user_id).await.unwrap();
        assert!(kept.is_some());
    }
}

#[tokio::test]
async fn a_race_that_is_lost_for_ever_ends_as_an_error() {
    let test = sqlite().await;
    let runs = &AtomicU32::new(0);
    let outcome: Result<(), DbErr> = test
        .db
        .write(|_| async move {
            runs.fetch_add(1, Ordering::SeqCst);
            Err(race("as always"))
        })
        .await;
    assert_eq!(outcome, Err(race("as always")));
    assert!(runs.load(Ordering::SeqCst) > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_writers_on_sqlite_never_find_it_busy() {
    let test = sqlite().await;
    let state = user();
    let states = std::slice::from_ref(&state);
    test.db
        .write(|tx| async move { users::replicate(tx.conn(), states).await })
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for _ in 0..40 {
        let (db, user) = (test.db.clone(), state.user_id);
        tasks.push(tokio::spawn(async move {
            db.write(|tx| async move {
                // Reads, then writes: what a plain BEGIN fails at.
                let row = users::find(tx.conn(), user)
                    .await?
                    .ok_or(DbErr::RecordNotUpdated)?;
                let state = UserState {
                    user_id: row.id,
                    version: row.version + 1,
                    status: row.status,
                    locale: row.locale,
                    time_zone: None,
                    registered_at: row.registered_at,
                };
                users::replicate(tx.conn(), &[state]).await
            })
            .await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let row = users::find(test.db.reader(), state.user_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.version, 41, "no update was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_migrate_at_once_do_not_collide() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("test.db").display());
    for url in [sqlite, shared::testing::new_postgres_database().await] {
        let mut replicas = Vec::new();
        for _ in 0..4 {
            replicas.push(open(&url).await.0);
        }
        assert!(pending(ServiceName::Loyalty, replicas[0].writer()).await.unwrap() > 0);
        let mut tasks = Vec::new();
        for db in replicas.clone() {
            tasks.push(tokio::spawn(async move {
                up(ServiceName::Loyalty, db.writer()).await
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(
            pending(ServiceName::Loyalty, replicas[0].writer()).await.unwrap(),
            0
        );
    }
}

#[tokio::test]
async fn an_older_state_of_a_user_changes_nothing() {
    for test in [sqlite().await, postgres().await] {
        let blocked = UserState {
            version: 5,
            status: UserStatus::Blocked,
            ..user()
        };
        let older = UserState {
            version: 4,
            status: UserStatus::Active,
            ..blocked.clone()
        };
        let newer = UserState {
            version: 6,
            status: UserStatus::Active,
            ..blocked.clone()
        };
        for (states, status) in [
            (
                vec![older.clone(), blocked.clone(), older.clone()],
                UserStatus::Blocked,
            ),
            (vec![older.clone()], UserStatus::Blocked),
            (vec![blocked.clone()], UserStatus::Blocked),
            (vec![newer.clone(), older.clone()], UserStatus::Active),
            (vec![blocked.clone()], UserStatus::Active),
        ] {
            let states = &states;
            test.db
                .write(|tx| async move { users::replicate(tx.conn(), states).await })
                .await
                .unwrap();
            let row = users::find(test.db.reader(), blocked.user_id)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.status, status);
        }
    }
}

#[tokio::test]
async fn what_follows_a_commit_is_done_once_and_never_without_it() {
    for test in [sqlite().await, postgres().await] {
        let (runs, done) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
        let count = |done: &Arc<AtomicU32>| {
            let done = Arc::clone(done);
            async move {
                done.fetch_add(1, Ordering::SeqCst);
            }
        };
        let (runs, seen) = (&runs, &done);
        test.db
            .write(|tx| async move {
                tx.after_commit(count(seen));
                // The first run loses a race, so that there is a second.
                match runs.fetch_add(1, Ordering::SeqCst) {
                    0 => Err(race("a test's")),
                    _ => Ok(()),
                }
            })
            .await
            .unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 1);
        let rolled_back = test
            .db
            .write(|tx| async move {
                tx.after_commit(count(seen));
                Err::<(), _>(DbErr::Custom("no".to_owned()))
            })
            .await;
        assert!(rolled_back.is_err());
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}

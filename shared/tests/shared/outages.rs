//! Which errors mean that the database is away, and which that a transaction lost a race.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use sea_orm::{
    ConnectionTrait as _, DbErr, RuntimeErr,
    sqlx::{
        self,
        error::{DatabaseError, ErrorKind},
    },
};
use shared::{
    db::{is_outage, lost_a_race, took_too_long},
    inbox::HandleError,
};

use crate::sqlite;

/// An error with a code as a database gives it.
#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Refused {}

impl DatabaseError for Refused {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

fn refused(code: &'static str) -> DbErr {
    exec(sqlx::Error::from(Refused(code)))
}

fn exec(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

#[test]
fn a_database_that_is_away_is_told_from_one_that_refuses() {
    for code in [
        "57P01", "57P02", "57P03", "57P05", "53100", "53200", "53300", "08006", "08000", "58030", "25006",
        // SQLite: IOERR with an extended one, FULL, CANTOPEN.
        "10", "778", "6410", "13", "14", "526",
    ] {
        assert!(is_outage(&refused(code)), "{code}");
        assert!(!lost_a_race(&refused(code)), "{code}");
        assert!(!took_too_long(&refused(code)), "{code}");
    }
    for code in [
        "57014", "57000", "55P03", "23505", "22021", "42P01", "58P01", "25P03",
        // SQLite: ERROR, CONSTRAINT_UNIQUE, CORRUPT.
        "1", "2067", "11",
    ] {
        assert!(!is_outage(&refused(code)), "{code}");
        assert!(!lost_a_race(&refused(code)), "{code}");
    }
    for error in [
        sqlx::Error::PoolTimedOut,
        sqlx::Error::PoolClosed,
        sqlx::Error::WorkerCrashed,
        sqlx::Error::Protocol("half a message".to_owned()),
        sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()),
    ] {
        let error = exec(error);
        assert!(is_outage(&error), "{error}");
    }
}

#[test]
fn what_took_too_long_is_neither_an_outage_nor_a_race() {
    for code in ["57014", "55P03"] {
        assert!(took_too_long(&HandleError::rule(refused(code))), "{code}");
        assert!(
            !is_outage(&refused(code)) && !lost_a_race(&refused(code)),
            "{code}"
        );
    }
}

#[test]
fn every_way_of_being_busy_is_a_race() {
    for code in ["40001", "40P01", "5", "261", "517", "773"] {
        assert!(lost_a_race(&refused(code)), "{code}");
        assert!(!is_outage(&refused(code)), "{code}");
    }
}

#[test]
fn an_outage_and_a_race_are_found_behind_what_wraps_them() {
    #[derive(Debug, thiserror::Error)]
    enum UseCaseError {
        #[error(transparent)]
        Transparent(DbErr),
        #[error("wrapped")]
        Wrapped(#[source] DbErr),
    }
    for wrap in [UseCaseError::Transparent, UseCaseError::Wrapped] {
        assert!(is_outage(&HandleError::rule(wrap(refused("57P01")))));
        assert!(lost_a_race(&HandleError::rule(wrap(refused("40001")))));
        assert!(!is_outage(&HandleError::rule(wrap(refused("57014")))));
    }
}

#[tokio::test]
async fn a_full_disk_is_an_outage() {
    let test = sqlite().await;
    let conn = test.db.writer();
    conn.execute_unprepared("CREATE TABLE filler (bytes BLOB)")
        .await
        .unwrap();
    conn.execute_unprepared("PRAGMA max_page_count = 1")
        .await
        .unwrap();
    let error = conn
        .execute_unprepared("INSERT INTO filler VALUES (zeroblob(1000000))")
        .await
        .unwrap_err();
    assert!(is_outage(&error), "{error}");
}

//! The time by the database's clock.
//!
//! Replicas on machines whose clocks differ must agree on what is due, leased or overdue. What they share
//! is the database: its clock is the one that counts. Each process knows the distance from its own
//! monotonic clock to the database's, which it measures when it connects and from then on every few
//! seconds; so asking for the time costs no round trip.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant as Monotonic,
};

use chrono::{DateTime, Duration};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::bounded;
use crate::{
    clock::{Clock, Instant},
    contracts::ServiceName,
};

/// Measurements when a process connects. The one that was answered first tells most.
const FIRST_SAMPLES: usize = 3;

/// While the database's clock is behind the instant that was told last by less than this, time stands
/// still here, so that what is written stays in order. It goes back where it would stand still for
/// longer: a purchase must end though the clock of the database server was set back.
const LONGEST_STAND: i64 = 10_000_000;

/// A service's clock: the database's on PostgreSQL, the machine's on SQLite, where both are the same.
/// A clock that tests move is left alone.
pub(super) struct DbClock {
    machine: Arc<dyn Clock>,
    measured: Option<Measured>,
}

impl DbClock {
    /// The clock of the database behind `conn`.
    pub(super) async fn of(conn: &DatabaseConnection, machine: Arc<dyn Clock>) -> Result<Self, DbErr> {
        let mut clock = Self {
            machine,
            measured: None,
        };
        if conn.get_database_backend() == DbBackend::Postgres && clock.machine.is_machine() {
            let measured = Measured::start(&*clock.machine);
            let mut samples = Vec::with_capacity(FIRST_SAMPLES);
            for _ in 0..FIRST_SAMPLES {
                samples.push(measured.ask(conn).await?);
            }
            for sample in &samples {
                measured.take(sample);
            }
            clock.measured = Some(measured);
        }
        Ok(clock)
    }

    /// Measures again; how far the machine's clock is ahead of the database's, in seconds.
    pub(super) async fn measure(
        &self,
        service: ServiceName,
        conn: &DatabaseConnection,
    ) -> Result<f64, DbErr> {
        if let Some(measured) = &self.measured {
            let sample = measured.ask(conn).await?;
            measured.take(&sample);
            if let Some(back) = measured.go_back() {
                tracing::error!(
                    %service,
                    seconds = seconds(back),
                    "the clock of the database was set back; what was written meanwhile is in its future"
                );
            }
        }
        Ok(self.offset())
    }

    /// How far the machine's clock is ahead of the database's, in seconds, as it was measured last.
    pub(super) fn offset(&self) -> f64 {
        self.measured.as_ref().map_or(0.0, |measured| {
            seconds(micros(self.machine.now()) - measured.computed())
        })
    }
}

impl Clock for DbClock {
    fn now(&self) -> Instant {
        let Some(measured) = &self.measured else {
            return self.machine.now();
        };
        DateTime::from_timestamp_micros(measured.now()).unwrap_or_else(|| self.machine.now())
    }

    fn is_machine(&self) -> bool {
        self.measured.is_none() && self.machine.is_machine()
    }
}

/// What is known of the database's clock. All figures are microseconds.
struct Measured {
    /// Where the monotonic clock has its zero here.
    began: Monotonic,
    /// The database's clock less the monotonic one.
    ahead: AtomicI64,
    /// The latest instant that was told.
    latest: AtomicI64,
}

/// One answer of the database. Its clock said `says` at some moment between the two others, which are
/// of the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Sample {
    asked: i64,
    answered: i64,
    says: i64,
}

impl Measured {
    /// As if the machine's clock were right.
    fn start(machine: &dyn Clock) -> Self {
        Self {
            began: Monotonic::now(),
            ahead: AtomicI64::new(micros(machine.now())),
            latest: AtomicI64::new(i64::MIN),
        }
    }

    fn monotonic(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    async fn ask(&self, conn: &DatabaseConnection) -> Result<Sample, DbErr> {
        let statement = Statement::from_string(DbBackend::Postgres, "SELECT clock_timestamp()");
        let asked = self.monotonic();
        let row = bounded(conn.query_one_raw(statement)).await?;
        let answered = self.monotonic();
        let row = row.ok_or_else(|| DbErr::RecordNotFound("the time".to_owned()))?;
        Ok(Sample {
            asked,
            answered,
            says: micros(row.try_get_by_index(0)?),
        })
    }

    /// Keeps the estimate where the sample does not contradict it, and else corrects it by no more than
    /// what the sample proves: an answer that took long proves little.
    fn take(&self, sample: &Sample) {
        let (least, most) = (sample.says - sample.answered, sample.says - sample.asked);
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.ahead
            .store(ahead.clamp(least, most.max(least)), Ordering::Relaxed);
    }

    /// What the database's clock says now.
    fn computed(&self) -> i64 {
        self.monotonic() + self.ahead.load(Ordering::Relaxed)
    }

    /// The same, but never less than what was told before.
    fn now(&self) -> i64 {
        let computed = self.computed();
        computed.max(self.latest.fetch_max(computed, Ordering::Relaxed))
    }

    /// Gives up standing still, where it would be for long; how far back time goes then.
    fn go_back(&self) -> Option<i64> {
        let computed = self.computed();
        let latest = self.latest.load(Ordering::Relaxed);
        let back = latest.saturating_sub(computed);
        (latest > i64::MIN && back > LONGEST_STAND).then(|| {
            self.latest.store(computed, Ordering::Relaxed);
            back
        })
    }
}

fn micros(instant: Instant) -> i64 {
    instant.timestamp_micros()
}

fn seconds(micros: i64) -> f64 {
    Duration::microseconds(micros).as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SECOND: i64 = 1_000_000;

    fn measured() -> Measured {
        let clock = ManualClock::at(DateTime::from_timestamp_micros(1_000 * SECOND).unwrap());
        Measured::start(&clock)
    }

    /// The database's clock is `ahead` of the monotonic one; an answer takes `took`.
    fn sample(ahead: i64, took: i64) -> Sample {
        Sample {
            asked: SECOND,
            answered: SECOND + took,
            says: SECOND + took / 2 + ahead,
        }
    }

    fn ahead(measured: &Measured) -> i64 {
        measured.ahead.load(Ordering::Relaxed)
    }

    #[test]
    fn a_clock_that_may_be_right_is_left_alone() {
        let measured = measured();
        measured.take(&sample(1_000 * SECOND + 400, 1_000));
        assert_eq!(ahead(&measured), 1_000 * SECOND);
    }

    #[test]
    fn one_that_is_wrong_is_corrected_as_far_as_the_answer_proves() {
        for wrong in [-90 * SECOND, 90 * SECOND] {
            let measured = measured();
            measured.take(&sample(1_000 * SECOND + wrong, 1_000));
            assert!(
                (ahead(&measured) - 1_000 * SECOND - wrong).abs() <= 500,
                "{wrong}"
            );
            // A slow answer, which agrees, takes nothing of that away.
            let before = ahead(&measured);
            measured.take(&sample(1_000 * SECOND + wrong - 200_000, SECOND));
            assert_eq!(ahead(&measured), before);
        }
    }

    #[test]
    fn time_stands_still_rather_than_go_back_a_little() {
        let measured = measured();
        let before = measured.now();
        measured.take(&sample(995 * SECOND, 2));
        assert_eq!(measured.go_back(), None);
        assert_eq!(measured.now(), before);
        assert_eq!(measured.now(), before);
        // Later it goes on.
        measured.take(&sample(1_001 * SECOND, 2));
        assert!(measured.now() > before);
    }

    #[test]
    fn time_goes_back_where_it_would_stand_still_for_long() {
        let measured = measured();
        let before = measured.now();
        measured.take(&sample(900 * SECOND, 2));
        assert_eq!(measured.now(), before, "until it is seen");
        assert!(measured.go_back().is_some_and(|back| back > 99 * SECOND));
        assert!(measured.now() < before - 99 * SECOND);
        assert_eq!(measured.go_back(), None);
    }
}

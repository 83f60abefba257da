//! When a campaign starts and ends, as its administrators write it: an instant, or a date or a
//! time on the clocks of the campaign's zone.
//!
//! Clocks jump. What they leave out is taken for the moment of the jump; of what they show twice,
//! a start means the first and an end the second, so that nobody who was told the time is late.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;
use shared::clock::Instant;

/// A start or an end, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its zone: `2026-12-31T21:00:00Z`.
    Instant(Instant),
    /// On the zone's clocks: `2026-12-31T18:30`.
    Time(NaiveDateTime),
    /// A whole day in the zone: `2026-12-31`. As an end the day is included.
    Day(NaiveDate),
}

/// A text that is no [`Moment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be a date (2026-12-31), a local time (2026-12-31T18:30) or an instant of RFC 3339 (2026-12-31T18:30:00Z)"
)]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Instant(instant.with_timezone(&Utc)));
        }
        // With all their digits: chrono would take 2026-1-2 too.
        let fits = |form: &str| NaiveDateTime::parse_from_str(text, form).ok().map(Self::Time);
        let parsed = match text.len() {
            10 => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(Self::Day),
            16 => fits("%Y-%m-%dT%H:%M"),
            19..=29 => fits("%Y-%m-%dT%H:%M:%S%.f"),
            _ => None,
        };
        parsed.ok_or(NoMoment)
    }
}

impl Moment {
    /// The first instant that belongs to it in `zone`; none if no calendar has it.
    #[must_use]
    pub fn as_start(self, zone: Tz) -> Option<Instant> {
        match self {
            Self::Instant(instant) => Some(instant),
            Self::Time(local) => resolve(zone, local, Which::First),
            Self::Day(day) => resolve(zone, day.and_time(NaiveTime::MIN), Which::First),
        }
        .and_then(to_micros)
    }

    /// The first instant in `zone` that comes after it (after the whole day, where it is one);
    /// none if no calendar has it.
    #[must_use]
    pub fn as_end(self, zone: Tz) -> Option<Instant> {
        match self {
            Self::Instant(instant) => Some(instant),
            Self::Time(local) => resolve(zone, local, Which::Second),
            // Of a midnight that comes twice, the next day begins with the first.
            Self::Day(day) => {
                let next = day.checked_add_days(Days::new(1))?;
                resolve(zone, next.and_time(NaiveTime::MIN), Which::First)
            }
        }
        .and_then(to_micros)
    }
}

/// Cut to what both databases keep.
fn to_micros(instant: Instant) -> Option<Instant> {
    DateTime::from_timestamp_micros(instant.timestamp_micros())
}

/// Which of two instants at which the clocks show the same.
#[derive(Clone, Copy)]
enum Which {
    First,
    Second,
}

fn resolve(zone: Tz, local: NaiveDateTime, which: Which) -> Option<Instant> {
    let found = zone.from_local_datetime(&local);
    let instant = match which {
        Which::First => found.earliest(),
        Which::Second => found.latest(),
    };
    match instant {
        Some(instant) => Some(instant.with_timezone(&Utc)),
        None => jump_over(zone, local),
    }
}

/// The instant at which the zone's clocks jumped over `local`: the first at which they show more.
fn jump_over(zone: Tz, local: NaiveDateTime) -> Option<Instant> {
    // No zone is further from UTC than a day, and no jump was longer than one.
    const FAR: i64 = 2 * 24 * 3_600;
    let shown_as_utc = local.and_utc().timestamp();
    let (mut before, mut after) = (shown_as_utc - FAR, shown_as_utc + FAR);
    // Zones change at whole seconds.
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        let instant = DateTime::from_timestamp(middle, 0)?;
        let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
        if instant.naive_utc().checked_add_offset(offset)? < local {
            before = middle;
        } else {
            after = middle;
        }
    }
    DateTime::from_timestamp(after, 0)
}

#[cfg(test)]
#[path = "local_time_tests.rs"]
mod tests;

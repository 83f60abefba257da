//! When a campaign starts and ends, as its administrators write it: an instant, or a date or a
//! time on the clocks of the campaign's zone.
//!
//! Clocks jump. What they leave out is taken for the moment of the jump; of what they show twice,
//! a start means the first and an end the second, so that nobody who was told the time is late.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use shared::{clock::Instant, zone::Zone};

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
            Self::Time(local) => Zone::from(zone).earliest(local),
            Self::Day(day) => Zone::from(zone).earliest(day.and_time(NaiveTime::MIN)),
        }
        .and_then(to_micros)
    }

    /// The first instant in `zone` that comes after it (after the whole day, where it is one);
    /// none if no calendar has it.
    #[must_use]
    pub fn as_end(self, zone: Tz) -> Option<Instant> {
        match self {
            Self::Instant(instant) => Some(instant),
            Self::Time(local) => Zone::from(zone).latest(local),
            // Of a midnight that comes twice, the next day begins with the first.
            Self::Day(day) => {
                let next = day.checked_add_days(Days::new(1))?;
                Zone::from(zone).earliest(next.and_time(NaiveTime::MIN))
            }
        }
        .and_then(to_micros)
    }
}

/// Cut to what both databases keep.
fn to_micros(instant: Instant) -> Option<Instant> {
    DateTime::from_timestamp_micros(instant.timestamp_micros())
}

#[cfg(test)]
#[path = "local_time_tests.rs"]
mod tests;

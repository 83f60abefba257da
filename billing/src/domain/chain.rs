//! How the periods of subscriptions that follow each other are counted: all from one anchor, by the
//! calendar and the clocks of one time zone.
//!
//! Each end is counted from the anchor and not from the end before it: of months from 31 January the
//! first ends on 28 February, and the second on 31 March.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime};
use shared::{clock::Instant, zone::Zone};

use super::period::Period;

/// The last year that RFC 3339 can write.
const LAST_YEAR: i32 = 9999;

/// A place in a chain of periods: how much time of the calendar has been counted from the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first instant of the chain.
    pub anchor: Instant,
    /// By whose calendar and clocks it is counted.
    pub zone: Zone,
    /// How many months were counted from the anchor; years are twelve.
    pub months: u32,
    /// How many days were counted after the months; weeks are seven.
    pub days: u32,
}

impl Chain {
    /// A chain that begins at `anchor`, with nothing counted yet.
    #[must_use]
    pub const fn new(anchor: Instant, zone: Zone) -> Self {
        Self {
            anchor,
            zone,
            months: 0,
            days: 0,
        }
    }

    /// One `period` further.
    #[must_use]
    pub const fn plus(self, period: Period) -> Self {
        Self {
            months: self.months.saturating_add(period.total_months()),
            days: self.days.saturating_add(period.total_days()),
            ..self
        }
    }

    /// One `period` back; none if less was counted.
    #[must_use]
    pub fn minus(self, period: Period) -> Option<Self> {
        Some(Self {
            months: self.months.checked_sub(period.total_months())?,
            days: self.days.checked_sub(period.total_days())?,
            ..self
        })
    }

    /// Whether `period` can be counted from the same anchor: its months and days are in the proportion
    /// of those that were counted. Months and years go together, and so do weeks and days.
    #[must_use]
    pub fn goes_on_with(self, period: Period) -> bool {
        let counted = (u64::from(self.months), u64::from(self.days));
        let next = (u64::from(period.total_months()), u64::from(period.total_days()));
        counted.0 * next.1 == counted.1 * next.0
    }

    /// Where it ends: the anchor's day and time on the clocks of the zone, so many months and then days
    /// later. A day that the month lacks is its last day; a time that the clocks leave out is the moment
    /// of the jump; of one that they show twice it is the second.
    ///
    /// None when that is past the year 9999.
    #[must_use]
    pub fn end(self) -> Option<Instant> {
        if (self.months, self.days) == (0, 0) {
            return Some(self.anchor);
        }
        let local = self
            .zone
            .local(self.anchor)
            .checked_add_months(Months::new(self.months))?
            .checked_add_days(Days::new(u64::from(self.days)))?;
        self.zone.latest(local).filter(|end| end.year() <= LAST_YEAR)
    }

    /// The same, but the end of the calendar at the latest.
    #[must_use]
    pub fn end_in_time(self) -> Instant {
        self.end().unwrap_or_else(|| end_of_time().max(self.anchor))
    }
}

/// The last second that RFC 3339 can write.
pub(super) fn end_of_time() -> Instant {
    let day = NaiveDate::from_ymd_opt(LAST_YEAR, 12, 31).unwrap_or(NaiveDate::MAX);
    let time = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default();
    DateTime::from_naive_utc_and_offset(day.and_time(time), chrono::Utc)
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;

//! Periods, as they are written in ISO 8601.

use std::{fmt, str::FromStr};

use chrono::{Days, Months};
use serde::{Deserialize, Serialize};
use shared::clock::Instant;

/// The most of any unit: nobody means more, and no calendar has them.
const MOST: u32 = 1_000;

/// So many days, weeks, months or years, in the calendar of UTC: `P30D`, `P1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

/// A text that is no [`Period`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a period is 1 to {MOST} days, weeks, months or years in ISO 8601, such as \"P30D\"")]
pub struct NoPeriod;

impl Period {
    /// The instant that lies so long before `instant`; none if no calendar has it.
    #[must_use]
    pub fn before(self, instant: Instant) -> Option<Instant> {
        match self.unit {
            Unit::Days => instant.checked_sub_days(Days::new(self.count.into())),
            Unit::Weeks => instant.checked_sub_days(Days::new(u64::from(self.count) * 7)),
            Unit::Months => instant.checked_sub_months(Months::new(self.count)),
            Unit::Years => instant.checked_sub_months(Months::new(self.count * 12)),
        }
    }
}

impl FromStr for Period {
    type Err = NoPeriod;

    fn from_str(text: &str) -> Result<Self, NoPeriod> {
        let rest = text.strip_prefix('P').ok_or(NoPeriod)?;
        let mut chars = rest.chars();
        let unit = match chars.next_back() {
            Some('D') => Unit::Days,
            Some('W') => Unit::Weeks,
            Some('M') => Unit::Months,
            Some('Y') => Unit::Years,
            _ => return Err(NoPeriod),
        };
        let digits = chars.as_str();
        if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoPeriod);
        }
        match digits.parse() {
            Ok(count @ 1..=MOST) => Ok(Self { count, unit }),
            _ => Err(NoPeriod),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Days => 'D',
            Unit::Weeks => 'W',
            Unit::Months => 'M',
            Unit::Years => 'Y',
        };
        write!(f, "P{}{unit}", self.count)
    }
}

impl TryFrom<String> for Period {
    type Error = NoPeriod;

    fn try_from(text: String) -> Result<Self, NoPeriod> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_read_back_and_nonsense_is_not_read() {
        for text in ["P1D", "P30D", "P2W", "P12M", "P1000Y"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "P",
            "D",
            "PD",
            "P0D",
            "P1001D",
            "P01D",
            "P0001Y",
            "P1",
            "P1H",
            "PT1H",
            "p1d",
            "P-1D",
            "P+1D",
            "P1.5D",
            "P1DD",
            " P1D",
            "P99999999999D",
            "P1д",
        ] {
            assert_eq!(text.parse::<Period>(), Err(NoPeriod), "{text}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let before = |period: &str, instant| period.parse::<Period>().unwrap().before(at(instant));
        assert_eq!(
            before("P1M", "2026-03-31T12:00:00Z"),
            Some(at("2026-02-28T12:00:00Z"))
        );
        assert_eq!(
            before("P1Y", "2028-02-29T00:00:00Z"),
            Some(at("2027-02-28T00:00:00Z"))
        );
        assert_eq!(
            before("P2W", "2026-01-05T00:00:00Z"),
            Some(at("2025-12-22T00:00:00Z"))
        );
        assert_eq!(
            before("P1000Y", "2026-01-01T00:00:00Z"),
            Some(at("1026-01-01T00:00:00Z"))
        );
    }
}

//! How long a tariff runs: an ISO 8601 duration in whole years, months, weeks and days.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A length of time by the calendar: `P1M`, `P1Y6M`, `P30D`, or whole weeks alone: `P2W`.
///
/// Never zero, and at most a hundred years. Kept as it was written: `P12M` and `P1Y` end at
/// the same instant but are not the same text, and read back as they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    years: u32,
    months: u32,
    weeks: u32,
    days: u32,
}

/// Why a text is no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Not an ISO 8601 duration in whole years, months, weeks or days.
    #[error("a period is whole years, months and days (P1Y6M, P1M, P30D) or whole weeks (P2W)")]
    Malformed,
    /// It takes no time.
    #[error("a period must be longer than nothing")]
    Zero,
    /// More than a hundred years.
    #[error("a period must be at most a hundred years")]
    TooLong,
}

impl Period {
    /// Checks the bounds. A hundred years are 1,200 months or 36,525 days, or parts of both.
    fn bounded(self) -> Result<Self, PeriodError> {
        let (months, days) = (u64::from(self.total_months()), u64::from(self.total_days()));
        match months * 36_525 + days * 1_200 {
            0 => Err(PeriodError::Zero),
            1..=43_830_000 => Ok(self),
            _ => Err(PeriodError::TooLong),
        }
    }

    /// Its years and months, in months.
    #[must_use]
    pub const fn total_months(self) -> u32 {
        self.years.saturating_mul(12).saturating_add(self.months)
    }

    /// Its weeks and days, in days.
    #[must_use]
    pub const fn total_days(self) -> u32 {
        self.weeks.saturating_mul(7).saturating_add(self.days)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text.strip_prefix('P').ok_or(PeriodError::Malformed)?;
        let mut parsed = Self {
            years: 0,
            months: 0,
            weeks: 0,
            days: 0,
        };
        if rest.ends_with('W') {
            parsed.weeks = take_part(&mut rest, 'W')?.ok_or(PeriodError::Malformed)?;
        } else {
            let years = take_part(&mut rest, 'Y')?;
            let months = take_part(&mut rest, 'M')?;
            let days = take_part(&mut rest, 'D')?;
            years.or(months).or(days).ok_or(PeriodError::Malformed)?;
            parsed.years = years.unwrap_or(0);
            parsed.months = months.unwrap_or(0);
            parsed.days = days.unwrap_or(0);
        }
        if rest.is_empty() {
            parsed.bounded()
        } else {
            Err(PeriodError::Malformed)
        }
    }
}

/// Takes `12Y` from the front of `rest`; none when what comes next has another unit.
fn take_part(rest: &mut &str, unit: char) -> Result<Option<u32>, PeriodError> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let Some(after) = rest[length..].strip_prefix(unit) else {
        return Ok(None);
    };
    let digits = &rest[..length];
    if digits.is_empty() {
        return Err(PeriodError::Malformed);
    }
    *rest = after;
    // Digits alone can't fail to parse but by being too many, unless they are leading zeros.
    let number = digits.trim_start_matches('0');
    if number.is_empty() {
        return Ok(Some(0));
    }
    number.parse().map(Some).map_err(|_| PeriodError::TooLong)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P")?;
        let parts = [
            (self.years, 'Y'),
            (self.months, 'M'),
            (self.weeks, 'W'),
            (self.days, 'D'),
        ];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Period {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_period_reads_back_as_it_was_written() {
        for text in [
            "P1Y", "P1M", "P2W", "P30D", "P1Y6M", "P12M", "P1Y2M3D", "P100Y", "P36525D", "P1200M",
        ] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(
                serde_json::to_string(&serde_json::from_str::<Period>(&json).unwrap()).unwrap(),
                json
            );
        }
        assert_eq!("P0Y01M".parse::<Period>().unwrap().to_string(), "P1M");
    }

    #[test]
    fn what_is_no_period_is_refused() {
        let malformed = [
            "", "P", "1M", "p1m", "P1", "PM", "P-1M", "P+1M", "P1.5M", "P1M1Y", "P1M1M", "PT1H", "P1DT1H",
            "P1Y2W", "P1W2D", "P1M ", " P1M", "P1Ы", "P١M", "PW",
        ];
        for text in malformed {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::Malformed), "{text}");
        }
        for text in ["P0D", "P0Y0M0D", "P0W", "P000D"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::Zero), "{text}");
        }
        for text in [
            "P101Y",
            "P100Y1D",
            "P36526D",
            "P1201M",
            "P99Y13M",
            "P4294967295Y",
            "P99999999999999999999D",
        ] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::TooLong), "{text}");
        }
        assert!(serde_json::from_str::<Period>("\"P0D\"").is_err());
    }

    proptest! {
        #[test]
        fn any_period_within_a_hundred_years_is_read(years in 0..120_u32, months in 0..40_u32, days in 0..800_u32) {
            if let Ok(period) = format!("P{years}Y{months}M{days}D").parse::<Period>() {
                prop_assert_eq!((period.total_months(), period.total_days()), (years * 12 + months, days));
                prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
            } else {
                prop_assert!(years * 12 + months + days == 0 || years >= 94);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "P?[0-9YMWDT\\PC]{0,12}") {
            if let Ok(period) = text.parse::<Period>() {
                prop_assert_eq!(period.to_string().parse(), Ok(period));
            }
        }
    }
}

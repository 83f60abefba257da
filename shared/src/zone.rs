//! Time zones of the IANA database, and what their clocks show.
//!
//! Clocks jump. A local time that they leave out is taken for the moment of the jump; one that they
//! show twice has a first and a second instant, and the caller says which it means.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::clock::Instant;

/// A time zone of the IANA database, such as `Europe/Moscow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// A text that names no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be a name of the IANA time zone database, such as Europe/Moscow")]
pub struct NoZone;

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Every zone that this program knows.
    pub fn all() -> impl Iterator<Item = Self> {
        chrono_tz::TZ_VARIANTS.iter().copied().map(Self)
    }

    /// Its name in the IANA database.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// By how many seconds its clocks are ahead of UTC at `at`.
    #[must_use]
    pub fn seconds_ahead(self, at: Instant) -> i32 {
        let offset = self.0.offset_from_utc_datetime(&at.naive_utc()).fix();
        offset.local_minus_utc()
    }

    /// What its clocks show at `at`.
    #[must_use]
    pub fn local(self, at: Instant) -> NaiveDateTime {
        let offset = self.0.offset_from_utc_datetime(&at.naive_utc()).fix();
        let shown = at.naive_utc().checked_add_offset(offset);
        // Only the first and the last day of the calendar have no local time.
        shown.unwrap_or(at.naive_utc())
    }

    /// The first instant at which its clocks show `local`, or the moment at which they jump over it;
    /// none if no calendar has it.
    #[must_use]
    pub fn earliest(self, local: NaiveDateTime) -> Option<Instant> {
        match self.0.from_local_datetime(&local).earliest() {
            Some(instant) => Some(instant.with_timezone(&Utc)),
            None => self.jump_over(local),
        }
    }

    /// The last instant at which its clocks show `local`, or the moment at which they jump over it;
    /// none if no calendar has it.
    #[must_use]
    pub fn latest(self, local: NaiveDateTime) -> Option<Instant> {
        match self.0.from_local_datetime(&local).latest() {
            Some(instant) => Some(instant.with_timezone(&Utc)),
            None => self.jump_over(local),
        }
    }

    /// The instant at which the clocks jump over `local`: the first at which they show more.
    fn jump_over(self, local: NaiveDateTime) -> Option<Instant> {
        // No zone is further from UTC than a day, and no jump was longer than one.
        const FAR: i64 = 2 * 24 * 3_600;
        let shown_as_utc = local.and_utc().timestamp();
        let (mut before, mut after) = (shown_as_utc - FAR, shown_as_utc + FAR);
        // Zones change at whole seconds.
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            let instant = DateTime::from_timestamp(middle, 0)?;
            let offset = self.0.offset_from_utc_datetime(&instant.naive_utc()).fix();
            if instant.naive_utc().checked_add_offset(offset)? < local {
                before = middle;
            } else {
                after = middle;
            }
        }
        DateTime::from_timestamp(after, 0)
    }
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Self(zone)
    }
}

impl FromStr for Zone {
    type Err = NoZone;

    fn from_str(name: &str) -> Result<Self, NoZone> {
        name.parse().map(Self).map_err(|_| NoZone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse()
            .map_err(|error| D::Error::custom(format!("`{name}` is no time zone: {error}")))
    }
}

/// Reads the name of a zone, where there is one; a name that this program does not know is as good as
/// none, since other programs may have a newer edition of the database.
///
/// # Errors
/// When it is no text.
pub fn if_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zone>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.and_then(|name| name.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    #[test]
    fn a_zone_is_read_by_its_name_and_nothing_else_is_one() {
        for zone in Zone::all() {
            assert_eq!(zone.name().parse(), Ok(zone));
        }
        for name in ["", "Moscow", "europe/moscow", "Europe/Moscow ", "+03:00", "MSK"] {
            assert_eq!(name.parse::<Zone>(), Err(NoZone), "{name}");
        }
        let error = serde_json::from_str::<Zone>("\"Mars\"").unwrap_err().to_string();
        assert!(error.starts_with("`Mars` is no time zone: it must be"), "{error}");
        assert_eq!(
            serde_json::to_string(&zone("Asia/Kolkata")).unwrap(),
            "\"Asia/Kolkata\""
        );
    }

    #[test]
    fn a_time_that_is_shown_twice_has_two_instants_and_one_that_is_left_out_is_the_jump() {
        let berlin = zone("Europe/Berlin");
        let twice = "2026-10-25T02:30:00".parse().unwrap();
        assert_eq!(berlin.earliest(twice), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(berlin.latest(twice), Some(at("2026-10-25T01:30:00Z")));
        let left_out = "2026-03-29T02:30:00".parse().unwrap();
        let jump = Some(at("2026-03-29T01:00:00Z"));
        assert_eq!((berlin.earliest(left_out), berlin.latest(left_out)), (jump, jump));
        assert_eq!(berlin.seconds_ahead(at("2026-03-29T00:59:59Z")), 3_600);
        assert_eq!(berlin.seconds_ahead(at("2026-03-29T01:00:00Z")), 7_200);
    }

    #[test]
    fn every_instant_is_found_again_by_what_the_clocks_show() {
        for zone in Zone::all() {
            for hour in (0..24 * 400).step_by(11) {
                let at = at("2025-12-01T00:15:00Z") + chrono::Duration::hours(hour);
                let local = zone.local(at);
                let found = [zone.earliest(local), zone.latest(local)];
                assert!(found.contains(&Some(at)), "{zone}: {at}");
            }
        }
    }
}

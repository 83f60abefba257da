//! What a paid purchase gives: a tariff, from when to when.

use chrono::{DateTime, NaiveDate, NaiveTime};
use shared::{
    clock::Instant,
    ids::{PurchaseId, SubscriptionId, TariffId, UserId},
};

use super::period::Period;

/// What one paid purchase gave. A renewal is a subscription of its own that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which.
    pub id: SubscriptionId,
    /// The purchase that gave it; each gives one.
    pub purchase_id: PurchaseId,
    /// Whose.
    pub user_id: UserId,
    /// To what.
    pub tariff_id: TariffId,
    /// The first instant it runs.
    pub starts_at: Instant,
    /// The first instant it no longer runs.
    pub ends_at: Instant,
}

/// When a subscription bought at `now` starts and ends.
///
/// It starts at once, or where the user's last one of the same tariff ends
/// (`current_end`), so that buying early loses no day. What would end past the year 9999 ends
/// with it.
#[must_use]
pub fn extend(current_end: Option<Instant>, now: Instant, period: Period) -> (Instant, Instant) {
    let starts_at = current_end.map_or(now, |end| end.max(now));
    let ends_at = period
        .end_from(starts_at)
        .unwrap_or_else(|| end_of_time().max(starts_at));
    (starts_at, ends_at)
}

/// The last second that RFC 3339 can write.
fn end_of_time() -> Instant {
    let day = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or(NaiveDate::MAX);
    let time = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default();
    DateTime::from_naive_utc_and_offset(day.and_time(time), chrono::Utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn month() -> Period {
        "P1M".parse().unwrap()
    }

    #[test]
    fn a_first_subscription_starts_at_once() {
        let now = at("2026-11-05T10:00:00Z");
        assert_eq!(extend(None, now, month()), (now, at("2026-12-05T10:00:00Z")));
    }

    #[test]
    fn buying_early_loses_no_day() {
        let end = at("2026-11-20T00:00:00Z");
        let bought = extend(Some(end), at("2026-11-05T10:00:00Z"), month());
        assert_eq!(bought, (end, at("2026-12-20T00:00:00Z")));
    }

    #[test]
    fn one_that_is_over_is_not_extended_into_the_past() {
        let now = at("2026-11-05T10:00:00Z");
        assert_eq!(extend(Some(at("2026-01-01T00:00:00Z")), now, month()).0, now);
        assert_eq!(extend(Some(now), now, month()).0, now);
    }

    #[test]
    fn however_often_it_is_extended_it_ends_within_the_calendar() {
        let now = at("2026-11-05T10:00:00Z");
        let century: Period = "P100Y".parse().unwrap();
        let mut end = None;
        for _ in 0..200 {
            let (starts_at, ends_at) = extend(end, now, century);
            assert!(starts_at <= ends_at && ends_at <= at("9999-12-31T23:59:59Z"));
            end = Some(ends_at);
        }
        assert_eq!(end, Some(at("9999-12-31T23:59:59Z")));
    }
}

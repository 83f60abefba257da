//! What a paid purchase gives: a tariff, from when to when.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime};
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
    /// When its user said that they want no other after it; none if they did not.
    pub cancelled_at: Option<Instant>,
}

/// Why a subscription can't be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription has ended")]
pub struct Ended;

/// The subscription after its user cancelled it at `now`.
///
/// Nothing renews by itself, so this takes nothing away: it can be used until its end, and nobody
/// is reminded of that any more. Once cancelled, it stays so.
///
/// # Errors
/// When it is over.
pub fn cancel(subscription: Subscription, now: Instant) -> Result<Subscription, Ended> {
    if subscription.cancelled_at.is_some() {
        return Ok(subscription);
    }
    // One that was taken back before it began is over, though its end is still to come.
    if subscription.ends_at <= now.max(subscription.starts_at) {
        return Err(Ended);
    }
    Ok(Subscription {
        cancelled_at: Some(now),
        ..subscription
    })
}

/// Whether its user is to be told, `notice` before its end, that a subscription ends: not if it was
/// shorter than that from its start, since they have just bought it.
#[must_use]
pub fn is_worth_a_reminder(subscription: &Subscription, notice: Duration) -> bool {
    subscription.ends_at - subscription.starts_at > notice
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

/// A refund takes `given` back at `at`; gives what becomes of it and of those that follow it,
/// where anything does.
///
/// It ends at once, or where it would have begun; one that is over stays as it was. `later` are
/// the user's later ones of the same tariff with their periods, by their start: those that
/// follow without a gap move up, each for its whole period, so that the refund of one purchase
/// makes no hole in what the others gave.
#[must_use]
pub fn take_back(given: &Subscription, later: &[(Subscription, Period)], at: Instant) -> Vec<Subscription> {
    if given.ends_at <= at {
        return Vec::new();
    }
    let mut ends_at = at.max(given.starts_at);
    let mut changed = vec![Subscription {
        ends_at,
        ..given.clone()
    }];
    let mut old_end = given.ends_at;
    for (next, period) in later {
        // What was taken back itself gives nothing, and nothing follows it.
        if next.ends_at <= next.starts_at {
            continue;
        }
        if next.starts_at != old_end {
            break;
        }
        old_end = next.ends_at;
        let (starts_at, new_end) = extend(Some(ends_at), at, *period);
        ends_at = new_end;
        changed.push(Subscription {
            starts_at,
            ends_at,
            ..next.clone()
        });
    }
    changed
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

    fn given(n: u128, starts_at: &str, ends_at: &str) -> Subscription {
        let id = uuid::Uuid::from_u128(n);
        Subscription {
            id: SubscriptionId(id),
            purchase_id: PurchaseId(id),
            user_id: UserId(id),
            tariff_id: TariffId(id),
            starts_at: at(starts_at),
            ends_at: at(ends_at),
            cancelled_at: None,
        }
    }

    #[test]
    fn a_subscription_is_cancelled_once_and_not_after_its_end() {
        let running = given(1, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        let now = at("2026-11-10T00:00:00Z");
        let cancelled = cancel(running.clone(), now).unwrap();
        assert_eq!(cancelled.cancelled_at, Some(now));
        assert_eq!(cancelled.ends_at, running.ends_at);
        let late = running.ends_at;
        assert_eq!(cancel(cancelled.clone(), late), Ok(cancelled));
        assert_eq!(cancel(running, late), Err(Ended));
        let taken_back = given(2, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z");
        assert_eq!(cancel(taken_back, now), Err(Ended));
        let to_come = given(3, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        assert!(cancel(to_come, now).is_ok());
    }

    #[test]
    fn nobody_is_reminded_of_what_they_have_just_bought() {
        let notice = Duration::days(3);
        let month = given(1, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        assert!(is_worth_a_reminder(&month, notice));
        for end in ["2026-11-02T00:00:00Z", "2026-11-04T00:00:00Z"] {
            assert!(!is_worth_a_reminder(
                &given(1, "2026-11-01T00:00:00Z", end),
                notice
            ));
        }
    }

    #[test]
    fn what_follows_a_subscription_that_is_taken_back_moves_up_for_its_whole_period() {
        let first = given(1, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        let later = [
            (given(2, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"), month()),
            (given(3, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"), month()),
            // After a gap: it has nothing to do with them.
            (given(4, "2027-06-01T00:00:00Z", "2027-07-01T00:00:00Z"), month()),
        ];
        let changed = take_back(&first, &later, at("2026-11-10T00:00:00Z"));
        assert_eq!(
            changed,
            [
                given(1, "2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z"),
                given(2, "2026-11-10T00:00:00Z", "2026-12-10T00:00:00Z"),
                given(3, "2026-12-10T00:00:00Z", "2027-01-10T00:00:00Z"),
            ]
        );
    }

    #[test]
    fn one_that_has_not_begun_never_does_and_one_that_is_over_stays() {
        let second = given(2, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        let gone = (given(5, "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), month());
        let third = (given(3, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"), month());
        let changed = take_back(&second, &[gone, third], at("2026-11-10T00:00:00Z"));
        assert_eq!(
            changed,
            [
                given(2, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
                given(3, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ]
        );
        for late in ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"] {
            assert!(take_back(&second, &[], at(late)).is_empty());
        }
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

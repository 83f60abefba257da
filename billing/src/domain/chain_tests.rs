//! Tests of [`super`].

use chrono::{Datelike as _, Duration, NaiveDateTime, TimeDelta};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

/// The ends of the first periods from `anchor`, on the clocks of the zone.
fn ends(anchor: &str, name: &str, text: &str, count: usize) -> Vec<String> {
    let mut chain = Chain::new(at(anchor), zone(name));
    let mut ends = Vec::new();
    for _ in 0..count {
        chain = chain.plus(period(text));
        ends.push(zone(name).local(chain.end().unwrap()).to_string());
    }
    ends
}

#[test]
fn months_from_the_last_day_of_january_end_on_the_last_day_of_each_month() {
    assert_eq!(
        ends("2026-01-31T12:00:00.000001Z", "UTC", "P1M", 5),
        [
            "2026-02-28 12:00:00.000001",
            "2026-03-31 12:00:00.000001",
            "2026-04-30 12:00:00.000001",
            "2026-05-31 12:00:00.000001",
            "2026-06-30 12:00:00.000001",
        ]
    );
    assert_eq!(
        ends("2028-01-30T00:00:00Z", "UTC", "P1M", 2),
        ["2028-02-29 00:00:00", "2028-03-30 00:00:00"]
    );
}

#[test]
fn a_year_from_a_leap_day_ends_on_the_leap_day_again_when_there_is_one() {
    assert_eq!(
        ends("2028-02-29T00:00:00Z", "UTC", "P1Y", 4),
        [
            "2029-02-28 00:00:00",
            "2030-02-28 00:00:00",
            "2031-02-28 00:00:00",
            "2032-02-29 00:00:00",
        ]
    );
}

#[test]
fn a_month_that_is_bought_after_midnight_in_moscow_ends_on_the_first_of_the_next() {
    // There it is 1 March, 01:00; in UTC it is still February.
    assert_eq!(
        ends("2026-02-28T22:00:00Z", "Europe/Moscow", "P1M", 2),
        ["2026-04-01 01:00:00", "2026-05-01 01:00:00"]
    );
}

#[test]
fn years_months_weeks_and_days_are_those_of_the_calendar() {
    for (anchor, text, end) in [
        ("2026-11-05T10:00:00Z", "P1Y6M", "2028-05-05 10:00:00"),
        ("2026-02-20T10:00:00Z", "P2W", "2026-03-06 10:00:00"),
        ("2026-02-20T10:00:00Z", "P30D", "2026-03-22 10:00:00"),
        ("2026-01-31T10:00:00Z", "P1M1D", "2026-03-01 10:00:00"),
    ] {
        assert_eq!(ends(anchor, "UTC", text, 1), [end]);
    }
}

#[test]
fn the_time_of_day_is_kept_over_both_changes_of_the_clocks() {
    // 29 March, 03:00 follows 01:59; of 25 October, 02:30 there are two.
    let jump = ends("2026-03-28T01:30:00Z", "Europe/Berlin", "P1D", 2);
    assert_eq!(jump, ["2026-03-29 03:00:00", "2026-03-30 02:30:00"]);
    let mut chain = Chain::new(at("2026-10-24T00:30:00Z"), zone("Europe/Berlin"));
    chain = chain.plus(period("P1D"));
    assert_eq!(
        chain.end(),
        Some(at("2026-10-25T01:30:00Z")),
        "the second of the two"
    );
    chain = chain.plus(period("P1D"));
    assert_eq!(chain.end(), Some(at("2026-10-26T01:30:00Z")));
    // Begun within the hour that comes twice: the anchor is the one of the two that it was.
    for anchor in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
        let chain = Chain::new(at(anchor), zone("Europe/Berlin"));
        assert_eq!(chain.end(), Some(at(anchor)));
        let week = chain.plus(period("P1W")).end();
        assert_eq!(week, Some(at("2026-11-01T01:30:00Z")));
    }
}

#[test]
fn no_chain_ends_past_what_rfc_3339_can_write() {
    let chain = |anchor| Chain::new(at(anchor), Zone::UTC).plus(period("P100Y"));
    assert!(chain("9899-12-31T00:00:00Z").end().is_some());
    assert_eq!(chain("9900-01-01T00:00:00Z").end(), None);
    assert_eq!(chain("9900-01-01T00:00:00Z").end_in_time(), end_of_time());
    let last = Chain::new(Instant::MAX_UTC, Zone::UTC).plus(period("P1D"));
    assert_eq!((last.end(), last.end_in_time()), (None, Instant::MAX_UTC));
}

#[test]
fn months_and_years_share_an_anchor_and_so_do_weeks_and_days() {
    let chain = Chain::new(at("2026-01-31T00:00:00Z"), Zone::UTC);
    for text in ["P1M", "P1Y", "P1D", "P1M1D"] {
        assert!(chain.goes_on_with(period(text)), "nothing was counted yet");
    }
    for (counted, goes_on, does_not) in [
        ("P1M", ["P1M", "P3M", "P1Y"], ["P1D", "P30D", "P1M1D"]),
        ("P2W", ["P1W", "P1D", "P30D"], ["P1M", "P1Y", "P1M14D"]),
        ("P1M2D", ["P1M2D", "P2M4D", "P1Y24D"], ["P1M", "P2D", "P2M2D"]),
    ] {
        let chain = chain.plus(period(counted));
        for text in goes_on {
            assert!(chain.goes_on_with(period(text)), "{counted} and {text}");
        }
        for text in does_not {
            assert!(!chain.goes_on_with(period(text)), "{counted} and {text}");
        }
    }
}

/// Every zone, by turns.
fn any_zone() -> impl Strategy<Value = Zone> {
    let zones: Vec<_> = Zone::all().collect();
    (0..zones.len()).prop_map(move |place| zones[place])
}

/// Instants from 1900 to 2100, many of them at the end of a month.
fn any_anchor() -> impl Strategy<Value = Instant> {
    let day = prop_oneof![28..=31_u32, 1..=31_u32];
    (1900..2100_i32, 1..=12_u32, day, 0..86_400_i64, 0..1_000_000_i64).prop_map(
        |(year, month, day, second, micros)| {
            let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
            let date = first.with_day(day).unwrap_or(first);
            date.and_time(NaiveTime::MIN).and_utc()
                + Duration::seconds(second)
                + Duration::microseconds(micros)
        },
    )
}

fn any_period() -> impl Strategy<Value = Period> {
    let calendar = (0..4_u32, 0..14_u32, 0..40_u32)
        .prop_filter("some time", |(years, months, days)| years + months + days > 0)
        .prop_map(|(years, months, days)| format!("P{years}Y{months}M{days}D"));
    let simple = prop_oneof![
        (1..4_u32).prop_map(|years| format!("P{years}Y")),
        (1..30_u32).prop_map(|months| format!("P{months}M")),
        (1..10_u32).prop_map(|weeks| format!("P{weeks}W")),
        (1..100_u32).prop_map(|days| format!("P{days}D")),
    ];
    prop_oneof![simple, calendar].prop_map(|text| text.parse().unwrap())
}

/// The local time of the anchor, so many months and days later, without any zone.
fn expected(anchor: NaiveDateTime, months: u32, days: u32) -> NaiveDateTime {
    let months = anchor.date().year() * 12 + i32::try_from(anchor.date().month0() + months).unwrap();
    let (year, month) = (
        months.div_euclid(12),
        u32::try_from(months.rem_euclid(12)).unwrap() + 1,
    );
    let day = (1..=anchor.date().day())
        .rev()
        .find_map(|day| NaiveDate::from_ymd_opt(year, month, day));
    day.unwrap().and_time(anchor.time()) + Duration::days(i64::from(days))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// For any day, 29 to 31 and leap days among them, in any zone, over both changes of the clocks.
    #[test]
    fn the_nth_end_is_the_anchor_and_n_periods_on_the_clocks_of_the_zone(
        zone in any_zone(), anchor in any_anchor(), period in any_period(), count in 1..40_u32,
    ) {
        let mut chain = Chain::new(anchor, zone);
        for _ in 0..count {
            chain = chain.plus(period);
        }
        let (months, days) = (period.total_months() * count, period.total_days() * count);
        prop_assert_eq!((chain.months, chain.days), (months, days));
        let wanted = expected(zone.local(anchor), months, days);
        let end = chain.end().unwrap();
        let shown = zone.local(end);
        if shown == wanted {
            // Of two such moments it is the second.
            prop_assert_eq!(zone.latest(wanted), Some(end));
        } else {
            // The clocks jump over it: just before they show less, and from then on more.
            prop_assert!(shown > wanted && shown - wanted <= TimeDelta::days(1), "{shown} for {wanted}");
            prop_assert!(zone.local(end - Duration::microseconds(1)) < wanted);
        }
        prop_assert_eq!(chain.minus(period).map(|chain| chain.plus(period)), Some(chain));
    }

    #[test]
    fn ends_never_go_back(
        zone in any_zone(), anchor in any_anchor(), period in any_period(),
    ) {
        let mut chain = Chain::new(anchor, zone);
        let mut last = anchor;
        for _ in 0..30 {
            chain = chain.plus(period);
            let end = chain.end().unwrap();
            // Some zones have left out a whole day: periods of one day may meet there.
            prop_assert!(end > last || (end == last && period.total_months() == 0), "{end} after {last}");
            last = end;
        }
    }
}

/// The hours of two years at whose end the clocks of `zone` change.
fn changes_of(zone: Zone) -> Vec<Instant> {
    let first = at("2026-01-01T00:00:00Z");
    let hours = |day: i64| (0..24).map(move |hour| first + Duration::days(day) + Duration::hours(hour));
    let shift = |from: Instant, to: Instant| zone.seconds_ahead(to) - zone.seconds_ahead(from);
    let days = (0..730).filter(|day| {
        let day = first + Duration::days(*day);
        shift(day, day + Duration::days(1)) != 0
    });
    days.flat_map(hours)
        .filter(|hour| shift(*hour, *hour + Duration::hours(1)) != 0)
        .collect()
}

#[test]
fn a_day_over_any_change_of_the_clocks_ends_at_the_same_time_of_day_or_with_the_jump() {
    let mut changes = 0;
    for zone in Zone::all() {
        for hour in changes_of(zone) {
            changes += 1;
            let next = hour + Duration::hours(1);
            let shift = zone.seconds_ahead(next) - zone.seconds_ahead(hour);
            for minutes in (-180..=180).step_by(15) {
                let anchor = next - Duration::days(1) + Duration::minutes(minutes);
                let end = Chain::new(anchor, zone).plus(period("P1D")).end().unwrap();
                let wanted = zone.local(anchor) + Duration::days(1);
                let shown = zone.local(end);
                let by_the_jump = shown > wanted && shown - wanted <= Duration::seconds(i64::from(shift));
                assert!(shown == wanted || by_the_jump, "{zone}: {anchor} to {end}");
            }
        }
    }
    assert!(changes > 400, "{changes}");
}

//! Tests of [`super`].

use chrono::Duration;

use super::*;

fn moment(text: &str) -> Moment {
    text.parse().unwrap()
}

fn zone(name: &str) -> Tz {
    name.parse().unwrap()
}

fn at(text: &str) -> Option<Instant> {
    Some(text.parse().unwrap())
}

/// Where a written time starts and ends in a zone.
fn check(name: &str, text: &str, start: &str, end: &str) {
    let written = moment(text);
    assert_eq!(written.as_start(zone(name)), at(start), "{text} starts in {name}");
    assert_eq!(written.as_end(zone(name)), at(end), "{text} ends in {name}");
}

#[test]
fn what_is_neither_a_date_nor_a_time_is_not_read() {
    for text in [
        "",
        "tomorrow",
        "2026",
        "2026-1-2",
        "2026-02-29",
        "2026-13-01",
        "2026-01-02T",
        "2026-01-02T25:00",
        "2026-01-02T24:00",
        "2026-01-02 10:00",
        "2026-01-02T10",
        "2026-01-02T10:00:00 Europe/Berlin",
        "+12026-01-01",
        "-0001-01-01",
        "2026-01-02T10:00:00.0000000000",
        "२०२६-०१-०२",
    ] {
        assert_eq!(text.parse::<Moment>(), Err(NoMoment), "{text}");
    }
}

#[test]
fn an_instant_is_the_same_in_every_zone() {
    for name in ["Asia/Kolkata", "America/New_York"] {
        let instant = "2026-07-01T10:00:00+03:00";
        check(name, instant, "2026-07-01T07:00:00Z", "2026-07-01T07:00:00Z");
    }
    // To the microsecond.
    let fine = moment("2026-07-01T10:00:00.1234567Z").as_start(Tz::UTC);
    assert_eq!(fine, at("2026-07-01T10:00:00.123456Z"));
}

#[test]
fn a_day_begins_and_ends_by_the_clocks_of_its_zone() {
    for (name, day, start, end) in [
        (
            "UTC",
            "2026-12-31",
            "2026-12-31T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2026-12-31",
            "2026-12-30T23:00:00Z",
            "2026-12-31T23:00:00Z",
        ),
        (
            "America/New_York",
            "2026-12-31",
            "2026-12-31T05:00:00Z",
            "2027-01-01T05:00:00Z",
        ),
        (
            "Asia/Kolkata",
            "2026-12-31",
            "2026-12-30T18:30:00Z",
            "2026-12-31T18:30:00Z",
        ),
        (
            "Pacific/Kiritimati",
            "2026-12-31",
            "2026-12-30T10:00:00Z",
            "2026-12-31T10:00:00Z",
        ),
        (
            "Pacific/Niue",
            "2026-12-31",
            "2026-12-31T11:00:00Z",
            "2027-01-01T11:00:00Z",
        ),
        // Leap days, and the day before one that is none.
        (
            "Asia/Kolkata",
            "2028-02-29",
            "2028-02-28T18:30:00Z",
            "2028-02-29T18:30:00Z",
        ),
        (
            "Pacific/Niue",
            "2028-02-28",
            "2028-02-28T11:00:00Z",
            "2028-02-29T11:00:00Z",
        ),
        (
            "Pacific/Kiritimati",
            "2027-02-28",
            "2027-02-27T10:00:00Z",
            "2027-02-28T10:00:00Z",
        ),
        // 23 and 25 hours.
        (
            "Europe/Berlin",
            "2026-03-29",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (
            "Europe/Berlin",
            "2026-10-25",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        (
            "America/New_York",
            "2026-03-08",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        ),
        (
            "America/New_York",
            "2026-11-01",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        ),
        // Summer began at midnight, which was left out; and it ended with an hour before midnight twice.
        (
            "Asia/Tehran",
            "2022-03-22",
            "2022-03-21T20:30:00Z",
            "2022-03-22T19:30:00Z",
        ),
        (
            "Asia/Tehran",
            "2022-03-21",
            "2022-03-20T20:30:00Z",
            "2022-03-21T20:30:00Z",
        ),
        (
            "Asia/Tehran",
            "2022-09-21",
            "2022-09-20T19:30:00Z",
            "2022-09-21T20:30:00Z",
        ),
        // Back for Ramadan, and forth again.
        (
            "Africa/Casablanca",
            "2026-02-15",
            "2026-02-14T23:00:00Z",
            "2026-02-16T00:00:00Z",
        ),
        (
            "Africa/Casablanca",
            "2026-03-22",
            "2026-03-22T00:00:00Z",
            "2026-03-22T23:00:00Z",
        ),
        // Midnight twice: the day begins with the first.
        (
            "America/Havana",
            "2026-11-01",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        ),
        (
            "America/Havana",
            "2026-10-31",
            "2026-10-31T04:00:00Z",
            "2026-11-01T04:00:00Z",
        ),
    ] {
        check(name, day, start, end);
    }
}

#[test]
fn a_day_that_a_zone_left_out_is_the_moment_of_the_jump() {
    check(
        "Pacific/Apia",
        "2011-12-30",
        "2011-12-30T10:00:00Z",
        "2011-12-30T10:00:00Z",
    );
}

#[test]
fn what_the_clocks_leave_out_is_the_moment_of_the_jump() {
    for text in [
        "2026-03-29T02:00",
        "2026-03-29T02:30",
        "2026-03-29T02:59:59.999999",
    ] {
        check(
            "Europe/Berlin",
            text,
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:00:00Z",
        );
    }
    check(
        "Europe/Berlin",
        "2026-03-29T03:00",
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:00:00Z",
    );
    check(
        "America/New_York",
        "2026-03-08T02:30",
        "2026-03-08T07:00:00Z",
        "2026-03-08T07:00:00Z",
    );
    check(
        "Asia/Tehran",
        "2022-03-22T00:30",
        "2022-03-21T20:30:00Z",
        "2022-03-21T20:30:00Z",
    );
    check(
        "Africa/Casablanca",
        "2026-03-22T02:30",
        "2026-03-22T02:00:00Z",
        "2026-03-22T02:00:00Z",
    );
}

#[test]
fn of_what_the_clocks_show_twice_a_start_is_the_first_and_an_end_the_second() {
    check(
        "Europe/Berlin",
        "2026-10-25T02:30",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
    );
    check(
        "America/New_York",
        "2026-11-01T01:30",
        "2026-11-01T05:30:00Z",
        "2026-11-01T06:30:00Z",
    );
    check(
        "Asia/Tehran",
        "2022-09-21T23:30",
        "2022-09-21T19:00:00Z",
        "2022-09-21T20:00:00Z",
    );
    check(
        "Africa/Casablanca",
        "2026-02-15T02:30",
        "2026-02-15T01:30:00Z",
        "2026-02-15T02:30:00Z",
    );
}

#[test]
fn days_follow_each_other_without_gap_or_overlap_in_every_zone() {
    for name in [
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Pacific/Kiritimati",
        "Pacific/Niue",
        "Asia/Tehran",
        "Africa/Casablanca",
        "America/Havana",
        "Australia/Lord_Howe",
        "UTC",
    ] {
        let zone = zone(name);
        let mut day = NaiveDate::from_ymd_opt(2019, 12, 30).unwrap();
        while day < NaiveDate::from_ymd_opt(2029, 1, 3).unwrap() {
            let next = day + Days::new(1);
            let (start, end) = (Moment::Day(day).as_start(zone), Moment::Day(day).as_end(zone));
            assert_eq!(end, Moment::Day(next).as_start(zone), "{name} {day}");
            let hours = (end.unwrap() - start.unwrap()).num_minutes();
            assert!((22 * 60..=26 * 60).contains(&hours), "{name} {day}");
            let last = end.unwrap() - Duration::microseconds(1);
            assert_eq!(last.with_timezone(&zone).date_naive(), day, "{name}");
            day = next;
        }
    }
}

#[test]
fn the_end_of_the_last_day_of_the_calendar_is_out_of_it() {
    assert_eq!(Moment::Day(NaiveDate::MAX).as_end(Tz::UTC), None);
}

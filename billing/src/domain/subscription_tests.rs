//! Tests of [`super`].

use proptest::prelude::*;

use super::*;
use crate::domain::chain::end_of_time;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

fn month() -> Period {
    period("P1M")
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

/// What a subscription that ends so leaves for the next one.
fn last_of(term: Term) -> Last {
    Last {
        ends_at: term.ends_at,
        chain: Some(term.chain),
    }
}

/// The terms of purchases at `now`, one after another.
fn bought(now: Instant, periods: &[Period], zone: Zone) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for period in periods {
        let last = terms.last().copied().map(last_of);
        terms.push(extend(last.as_ref(), now, *period, zone));
    }
    terms
}

fn ends(terms: &[Term]) -> Vec<Instant> {
    terms.iter().map(|term| term.ends_at).collect()
}

/// A subscription that was sold before anchors were kept.
fn given(n: u128, starts_at: &str, ends_at: &str) -> Subscription {
    subscription(n, at(starts_at), at(ends_at), None)
}

fn subscription(n: u128, starts_at: Instant, ends_at: Instant, chain: Option<Chain>) -> Subscription {
    let id = uuid::Uuid::from_u128(n);
    Subscription {
        id: SubscriptionId(id),
        purchase_id: PurchaseId(id),
        user_id: UserId(id),
        tariff_id: TariffId(id),
        starts_at,
        ends_at,
        chain,
        cancelled_at: None,
    }
}

/// The subscriptions of these terms.
fn of_terms(terms: &[Term]) -> Vec<Subscription> {
    let numbered = terms.iter().zip(1..);
    numbered
        .map(|(term, n)| subscription(n, term.starts_at, term.ends_at, Some(term.chain)))
        .collect()
}

#[test]
fn a_first_subscription_starts_at_once() {
    let now = at("2026-11-05T10:00:00Z");
    let term = extend(None, now, month(), Zone::UTC);
    assert_eq!((term.starts_at, term.ends_at), (now, at("2026-12-05T10:00:00Z")));
}

#[test]
fn buying_early_loses_no_day() {
    let now = at("2026-11-05T10:00:00Z");
    let last = Last {
        ends_at: at("2026-11-20T00:00:00Z"),
        chain: None,
    };
    let term = extend(Some(&last), now, month(), Zone::UTC);
    assert_eq!(
        (term.starts_at, term.ends_at),
        (last.ends_at, at("2026-12-20T00:00:00Z"))
    );
}

#[test]
fn one_that_is_over_is_not_extended_into_the_past() {
    let now = at("2026-11-05T10:00:00Z");
    for ends_at in [at("2026-01-01T00:00:00Z"), now] {
        let last = Last { ends_at, chain: None };
        assert_eq!(extend(Some(&last), now, month(), Zone::UTC).starts_at, now);
    }
}

#[test]
fn months_that_follow_each_other_are_counted_from_the_first_day() {
    let terms = bought(at("2026-01-31T12:00:00Z"), &[month(); 4], Zone::UTC);
    assert_eq!(
        ends(&terms),
        [
            at("2026-02-28T12:00:00Z"),
            at("2026-03-31T12:00:00Z"),
            at("2026-04-30T12:00:00Z"),
            at("2026-05-31T12:00:00Z"),
        ]
    );
}

#[test]
fn a_chain_keeps_its_zone_and_a_new_one_takes_that_of_the_day() {
    let now = at("2026-02-28T22:00:00Z");
    let first = extend(None, now, month(), zone("Europe/Moscow"));
    assert_eq!(first.ends_at, at("2026-03-31T22:00:00Z"), "1 April, 01:00 there");
    let elsewhere = zone("America/New_York");
    let second = extend(Some(&last_of(first)), now, month(), elsewhere);
    assert_eq!(second.chain.zone, zone("Europe/Moscow"));
    assert_eq!(second.ends_at, at("2026-04-30T22:00:00Z"));
    let after = second.ends_at + Duration::microseconds(1);
    let third = extend(Some(&last_of(second)), after, month(), elsewhere);
    assert_eq!((third.chain.zone, third.chain.anchor), (elsewhere, after));
}

#[test]
fn years_go_on_from_the_anchor_of_months_and_days_from_one_of_their_own() {
    let now = at("2027-12-31T12:00:00Z");
    let terms = bought(
        now,
        &[
            period("P2M"),
            period("P1Y"),
            period("P30D"),
            period("P1W"),
            month(),
        ],
        Zone::UTC,
    );
    assert_eq!(
        ends(&terms),
        [
            at("2028-02-29T12:00:00Z"),
            at("2029-02-28T12:00:00Z"),
            at("2029-03-30T12:00:00Z"),
            at("2029-04-06T12:00:00Z"),
            at("2029-05-06T12:00:00Z"),
        ]
    );
    let anchors: Vec<_> = terms.iter().map(|term| term.chain.anchor).collect();
    assert_eq!(
        anchors,
        [now, now, terms[1].ends_at, terms[1].ends_at, terms[3].ends_at]
    );
}

#[test]
fn what_was_sold_before_anchors_were_kept_goes_on_from_its_start() {
    let sold = given(1, "2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z");
    let last = sold.as_last(month());
    let now = at("2026-02-10T00:00:00Z");
    let next = extend(Some(&last), now, month(), zone("Europe/Moscow"));
    assert_eq!(
        (next.starts_at, next.ends_at),
        (sold.ends_at, at("2026-03-31T12:00:00Z"))
    );
    // One that ends elsewhere, as after a refund, is followed by a chain of its own.
    let moved = given(2, "2026-01-31T12:00:00Z", "2026-02-27T12:00:00Z");
    let last = moved.as_last(month());
    assert_eq!(last.chain, None);
    let next = extend(Some(&last), now, month(), zone("Europe/Moscow"));
    assert_eq!(next.ends_at, at("2026-03-27T12:00:00Z"));
    assert_eq!(next.chain.zone, zone("Europe/Moscow"));
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

/// From when to when each of these runs.
fn dates(subscriptions: &[Subscription]) -> Vec<(u128, Instant, Instant)> {
    let dates = |one: &Subscription| (one.id.0.as_u128(), one.starts_at, one.ends_at);
    subscriptions.iter().map(dates).collect()
}

fn each_with(subscriptions: &[Subscription], period: Period) -> Vec<(Subscription, Period)> {
    subscriptions.iter().cloned().map(|one| (one, period)).collect()
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
    let changed = take_back(&first, month(), &later, at("2026-11-10T00:00:00Z"));
    assert_eq!(
        dates(&changed),
        [
            (1, at("2026-11-01T00:00:00Z"), at("2026-11-10T00:00:00Z")),
            (2, at("2026-11-10T00:00:00Z"), at("2026-12-10T00:00:00Z")),
            (3, at("2026-12-10T00:00:00Z"), at("2027-01-10T00:00:00Z")),
        ]
    );
}

#[test]
fn what_follows_one_that_has_not_begun_takes_its_place_in_the_chain() {
    let now = at("2026-01-31T12:00:00Z");
    let sold = of_terms(&bought(now, &[month(); 4], Zone::UTC));
    let changed = take_back(&sold[1], month(), &each_with(&sold[2..], month()), now);
    assert_eq!(
        dates(&changed),
        [
            (2, at("2026-02-28T12:00:00Z"), at("2026-02-28T12:00:00Z")),
            (3, at("2026-02-28T12:00:00Z"), at("2026-03-31T12:00:00Z")),
            (4, at("2026-03-31T12:00:00Z"), at("2026-04-30T12:00:00Z")),
        ]
    );
    // The next purchase goes on from there.
    let last = changed[2].as_last(month());
    let next = extend(Some(&last), now, month(), Zone::UTC);
    assert_eq!(next.ends_at, at("2026-05-31T12:00:00Z"));
}

#[test]
fn what_follows_one_that_runs_begins_a_chain_with_the_refund() {
    let moscow = zone("Europe/Moscow");
    let now = at("2026-01-31T12:00:00Z");
    let sold = of_terms(&bought(now, &[month(); 3], moscow));
    let refund = at("2026-02-28T22:00:00Z") - Duration::days(10);
    let changed = take_back(&sold[0], month(), &each_with(&sold[1..], month()), refund);
    assert_eq!(
        dates(&changed),
        [
            (1, now, refund),
            (2, refund, at("2026-03-18T22:00:00Z")),
            (3, at("2026-03-18T22:00:00Z"), at("2026-04-18T22:00:00Z")),
        ]
    );
    for moved in &changed[1..] {
        let chain = moved.as_last(month()).chain.unwrap();
        assert_eq!((chain.anchor, chain.zone), (refund, moscow));
    }
}

#[test]
fn one_that_has_not_begun_never_does_and_one_that_is_over_stays() {
    let second = given(2, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let gone = (given(5, "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), month());
    let third = (given(3, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"), month());
    let changed = take_back(&second, month(), &[gone, third], at("2026-11-10T00:00:00Z"));
    assert_eq!(
        dates(&changed),
        [
            (2, at("2026-12-01T00:00:00Z"), at("2026-12-01T00:00:00Z")),
            (3, at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z")),
        ]
    );
    for late in ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"] {
        assert!(take_back(&second, month(), &[], at(late)).is_empty());
    }
}

#[test]
fn however_often_it_is_extended_it_ends_within_the_calendar() {
    let now = at("2026-11-05T10:00:00Z");
    let terms = bought(now, &[period("P100Y"); 200], zone("Europe/Berlin"));
    for term in &terms {
        assert!(term.starts_at <= term.ends_at && term.ends_at <= end_of_time());
    }
    assert_eq!(terms.last().unwrap().ends_at, end_of_time());
}

#[test]
fn a_day_that_a_zone_leaves_out_gives_its_buyer_another_one() {
    // Samoa had no 30 December 2011.
    let apia = zone("Pacific/Apia");
    let anchor = apia.earliest("2011-12-28T00:00:00".parse().unwrap()).unwrap();
    let terms = bought(anchor, &[period("P1D"); 4], apia);
    for term in &terms {
        assert_eq!(term.ends_at - term.starts_at, Duration::days(1));
    }
    let shown = apia.local(terms[3].ends_at).to_string();
    assert_eq!(
        shown, "2012-01-02 00:00:00",
        "four days, of which 30 December is none"
    );
}

fn any_zone() -> impl Strategy<Value = Zone> {
    let zones: Vec<_> = Zone::all().collect();
    (0..zones.len()).prop_map(move |place| zones[place])
}

fn any_period() -> impl Strategy<Value = Period> {
    let texts = ["P1D", "P7D", "P30D", "P1W", "P1M", "P3M", "P1Y", "P1M1D"];
    (0..texts.len()).prop_map(move |place| period(texts[place]))
}

proptest! {
    #[test]
    fn purchases_without_a_pause_have_no_gaps_and_no_overlaps(
        zone in any_zone(), second in 0..4_000_000_000_i64, periods in proptest::collection::vec(any_period(), 1..20),
    ) {
        let now = Instant::from_timestamp(second, 0).unwrap();
        let terms = bought(now, &periods, zone);
        prop_assert_eq!(terms[0].starts_at, now);
        for pair in terms.windows(2) {
            prop_assert_eq!(pair[0].ends_at, pair[1].starts_at);
        }
        for term in &terms {
            prop_assert!(term.ends_at > term.starts_at);
        }
        let same = terms.iter().zip(&periods).all(|(term, period)| {
            let subscription = subscription(1, term.starts_at, term.ends_at, Some(term.chain));
            subscription.as_last(*period).chain == Some(term.chain)
        });
        prop_assert!(same, "what is stored is read as it was sold");
    }

    #[test]
    fn a_refund_leaves_a_chain_without_gaps_and_overlaps_of_whole_periods(
        zone in any_zone(), second in 0..4_000_000_000_i64, periods in proptest::collection::vec(any_period(), 1..12),
        which in 0..12_usize, hours in 0..10_000_i64,
    ) {
        let now = Instant::from_timestamp(second, 0).unwrap();
        let sold = of_terms(&bought(now, &periods, zone));
        let which = which % sold.len();
        let refund = now + Duration::hours(hours);
        let later: Vec<_> = sold.iter().cloned().zip(periods.iter().copied()).skip(which + 1).collect();
        let changed = take_back(&sold[which], periods[which], &later, refund);
        if sold[which].ends_at <= refund {
            prop_assert!(changed.is_empty());
            return Ok(());
        }
        prop_assert_eq!(changed.len(), 1 + later.len());
        for pair in changed.windows(2) {
            prop_assert_eq!(pair[0].ends_at, pair[1].starts_at);
        }
        for (moved, (before, period)) in changed[1..].iter().zip(&later) {
            prop_assert!(moved.ends_at > moved.starts_at && moved.id == before.id);
            let chain = moved.as_last(*period).chain;
            prop_assert_eq!(chain, moved.chain);
            prop_assert!(chain.is_some_and(|chain| chain.zone == zone));
        }
    }
}

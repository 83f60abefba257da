//! What a paid purchase gives: a tariff, from when to when.

use chrono::Duration;
use shared::{
    clock::Instant,
    ids::{PurchaseId, SubscriptionId, TariffId, UserId},
    zone::Zone,
};

use super::{chain::Chain, period::Period};

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
    /// From what its end is counted; none of one that was sold before anchors were kept.
    pub chain: Option<Chain>,
    /// When its user said that they want no other after it; none if they did not.
    pub cancelled_at: Option<Instant>,
}

impl Subscription {
    /// What it leaves for the next one, where it runs for one `period`.
    #[must_use]
    pub fn as_last(&self, period: Period) -> Last {
        Last::new(self.starts_at, self.ends_at, self.chain, period)
    }
}

/// The last subscription of a user to a tariff, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Where it ends.
    pub ends_at: Instant,
    /// The chain that its end is a place in; none if it ends elsewhere.
    pub chain: Option<Chain>,
}

impl Last {
    /// One that runs from `starts_at` to `ends_at`, for one `period` of `chain`. Where no chain was kept,
    /// by a program before there were any, it is the first of a chain in UTC, as it was counted.
    #[must_use]
    pub fn new(starts_at: Instant, ends_at: Instant, chain: Option<Chain>, period: Period) -> Self {
        let alone = || Chain::new(starts_at, Zone::UTC).plus(period);
        let chain = chain.unwrap_or_else(alone);
        Self {
            ends_at,
            chain: (chain.end_in_time() == ends_at).then_some(chain),
        }
    }
}

/// From when to when a subscription runs, and from what its end is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The first instant it runs.
    pub starts_at: Instant,
    /// The first instant it no longer runs.
    pub ends_at: Instant,
    /// The chain that its end is a place in.
    pub chain: Chain,
}

impl Term {
    /// One `period` of `chain` from `starts_at` on, which is where the chain has come so far. What would
    /// end past the year 9999 ends with it.
    fn of(chain: Chain, starts_at: Instant, period: Period) -> Self {
        let mut chain = chain.plus(period);
        // Where a zone leaves out a whole day, one period more gives the buyer a day of time.
        while chain.end().is_some_and(|end| end <= starts_at) {
            chain = chain.plus(period);
        }
        Self {
            starts_at,
            ends_at: chain.end_in_time().max(starts_at),
            chain,
        }
    }
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
/// It starts at once, as the first of a chain in `zone`; or where the user's `last` one of the same
/// tariff ends, so that buying early loses no day. Then it goes on in the chain of that one, whatever
/// `zone` is, unless its period can't be counted from the same anchor: that moves to where it starts.
#[must_use]
pub fn extend(last: Option<&Last>, now: Instant, period: Period, zone: Zone) -> Term {
    let Some(last) = last.filter(|last| last.ends_at >= now) else {
        return Term::of(Chain::new(now, zone), now, period);
    };
    let chain = last.chain.filter(|chain| chain.goes_on_with(period));
    let chain = chain.unwrap_or_else(|| Chain::new(last.ends_at, zone));
    Term::of(chain, last.ends_at, period)
}

/// A refund takes `given`, which was to run for `period`, back at `at`; gives what becomes of it and of
/// those that follow it, where anything does.
///
/// It ends at once, or where it would have begun; one that is over stays as it was. `later` are
/// the user's later ones of the same tariff with their periods, by their start: those that
/// follow without a gap move up, each for its whole period, so that the refund of one purchase
/// makes no hole in what the others gave. Those that follow one that has not begun take its place in
/// its chain; those that follow one that runs begin a chain at `at`.
#[must_use]
pub fn take_back(
    given: &Subscription,
    period: Period,
    later: &[(Subscription, Period)],
    at: Instant,
) -> Vec<Subscription> {
    if given.ends_at <= at {
        return Vec::new();
    }
    let ends_at = at.max(given.starts_at);
    let mut changed = vec![Subscription {
        ends_at,
        ..given.clone()
    }];
    let before = given.chain.and_then(|chain| chain.minus(period));
    let mut last = Last {
        ends_at,
        chain: before.filter(|chain| chain.end() == Some(ends_at)),
    };
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
        let zone = next.chain.or(given.chain).map_or(Zone::UTC, |chain| chain.zone);
        let term = extend(Some(&last), last.ends_at, *period, zone);
        last = Last {
            ends_at: term.ends_at,
            chain: Some(term.chain),
        };
        changed.push(Subscription {
            starts_at: term.starts_at,
            ends_at: term.ends_at,
            chain: Some(term.chain),
            ..next.clone()
        });
    }
    changed
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;

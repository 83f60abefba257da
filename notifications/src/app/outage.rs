//! While no mail goes out at all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::clock::Instant;

use super::send_mails::AT_ONCE;
use crate::domain::mail;

/// What a round tells of mail as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It goes out.
    Works,
    /// Nothing does.
    Outage,
}

/// Whether mail goes out at all, as this process has seen it. While it does not, one mail at a time is
/// tried, with growing pauses, and the others are left alone.
#[derive(Default)]
pub struct Outage(Mutex<Option<(i32, Instant)>>);

/// What may be tried next.
pub(super) struct Round {
    /// At most this many mails.
    pub limit: u64,
    /// How many rounds in a row have shown that nothing goes out, if this one does.
    times: i32,
    /// Until when all wait then.
    pub hold_until: Instant,
}

impl Outage {
    /// What may be tried at `now`, if anything.
    pub(super) fn next_round(&self, now: Instant, spread: u16) -> Option<Round> {
        let (limit, times) = match *self.state() {
            None => (AT_ONCE as u64, 1),
            Some((_, until)) if until > now => return None,
            Some((times, _)) => (1, times.saturating_add(1)),
        };
        let hold_until = mail::look_again_at(times, now, spread);
        Some(Round {
            limit,
            times,
            hold_until,
        })
    }

    /// Takes in what the round has told, if it did.
    pub(super) fn end_round(&self, round: &Round, told: Option<Told>) {
        match told {
            Some(Told::Outage) => *self.state() = Some((round.times, round.hold_until)),
            Some(Told::Works) => *self.state() = None,
            None => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<(i32, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Duration, TimeZone as _, Utc};

    use super::*;

    #[test]
    fn while_nothing_goes_out_one_mail_at_a_time_is_tried_with_growing_pauses() {
        let (outage, mut now) = (
            Outage::default(),
            Utc.with_ymd_and_hms(2026, 11, 21, 10, 30, 0).unwrap(),
        );
        let mut last = Duration::zero();
        for times in 1..10 {
            let round = outage.next_round(now, 1_000).unwrap();
            assert_eq!(round.limit, if times == 1 { AT_ONCE as u64 } else { 1 });
            let pause = round.hold_until - now;
            assert!(pause >= last && pause <= Duration::minutes(1), "{pause}");
            outage.end_round(&round, Some(Told::Outage));
            assert!(
                outage
                    .next_round(round.hold_until - Duration::microseconds(1), 0)
                    .is_none()
            );
            (now, last) = (round.hold_until, pause);
        }
        let round = outage.next_round(now, 0).unwrap();
        outage.end_round(&round, None);
        assert_eq!(
            outage.next_round(now, 0).unwrap().limit,
            1,
            "what was skipped tells nothing"
        );
        outage.end_round(&round, Some(Told::Works));
        assert_eq!(outage.next_round(now, 0).unwrap().limit, AT_ONCE as u64);
    }
}

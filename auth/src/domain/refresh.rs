//! What to think of a refresh token that was used before.

use chrono::Duration;
use shared::clock::Instant;

/// So soon after a refresh the same client may ask again without being taken for a thief.
pub const GRACE: Duration = Duration::seconds(10);

/// So soon after a refresh a second request was most likely made at the same time as the first,
/// whose answer is on its way.
pub const IN_FLIGHT: Duration = Duration::seconds(2);

/// A refresh token that comes again.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// When it was used.
    pub used_at: Instant,
    /// It was replaced unused, since its client said that it had not got it.
    pub superseded: bool,
    /// Its client has said so already of what this one was replaced by.
    pub retried: bool,
    /// When its client was given what it was replaced by last.
    pub answered_at: Instant,
    /// Whether that was used: then the answer had come.
    pub went_on: bool,
    /// Whether who sends it now is who used it, as far as can be seen.
    pub same_client: bool,
}

/// What to think of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its client made two requests at once; one was answered.
    InFlight,
    /// Its client has lost the answer, and may have another.
    LostAnswer,
    /// It was replaced a moment ago, by another request of the same client most likely.
    Stale,
    /// Two have it who are not the same, or somebody has kept it: it may be stolen.
    Stolen,
}

/// Judges a token that was used before.
#[must_use]
pub fn judge(again: Again, now: Instant) -> Verdict {
    let age = now - again.used_at;
    if again.superseded {
        // Whoever has it got the answer that was said to be lost: there are two.
        return if again.same_client && age < IN_FLIGHT {
            Verdict::Stale
        } else {
            Verdict::Stolen
        };
    }
    if !again.same_client || age > GRACE {
        return Verdict::Stolen;
    }
    if now - again.answered_at < IN_FLIGHT {
        return Verdict::InFlight;
    }
    if again.went_on {
        return Verdict::Stolen;
    }
    if again.retried {
        Verdict::InFlight
    } else {
        Verdict::LostAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_repeat_itself_for_a_while_and_nobody_else() {
        let now = Instant::from_timestamp_micros(1_763_692_800_000_000).unwrap();
        let again = |seconds: i64| Again {
            used_at: now - Duration::seconds(seconds),
            superseded: false,
            retried: false,
            answered_at: now - Duration::seconds(seconds),
            went_on: false,
            same_client: true,
        };
        let retried = |seconds: i64, ago: i64, went_on: bool| Again {
            retried: true,
            answered_at: now - Duration::seconds(ago),
            went_on,
            ..again(seconds)
        };
        let went_on = |seconds: i64| Again {
            went_on: true,
            ..again(seconds)
        };
        for (again, expected) in [
            (again(0), Verdict::InFlight),
            (again(1), Verdict::InFlight),
            (again(2), Verdict::LostAnswer),
            (again(10), Verdict::LostAnswer),
            (again(11), Verdict::Stolen),
            (went_on(1), Verdict::InFlight),
            (went_on(2), Verdict::Stolen),
            (went_on(10), Verdict::Stolen),
            (retried(5, 1, false), Verdict::InFlight),
            (retried(5, 1, true), Verdict::InFlight),
            (retried(5, 2, false), Verdict::InFlight),
            (retried(5, 2, true), Verdict::Stolen),
            (retried(11, 1, false), Verdict::Stolen),
            (
                Again {
                    same_client: false,
                    ..again(0)
                },
                Verdict::Stolen,
            ),
            (
                Again {
                    superseded: true,
                    ..again(1)
                },
                Verdict::Stale,
            ),
            (
                Again {
                    superseded: true,
                    ..again(2)
                },
                Verdict::Stolen,
            ),
        ] {
            assert_eq!(judge(again, now), expected, "{again:?}");
        }
    }
}

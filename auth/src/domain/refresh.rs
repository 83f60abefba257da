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
    /// Two have it who are not the same: one of them has stolen it.
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
    if age < IN_FLIGHT || again.retried {
        return Verdict::InFlight;
    }
    Verdict::LostAnswer
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
            same_client: true,
        };
        for (again, expected) in [
            (again(0), Verdict::InFlight),
            (again(1), Verdict::InFlight),
            (again(2), Verdict::LostAnswer),
            (again(10), Verdict::LostAnswer),
            (again(11), Verdict::Stolen),
            (
                Again {
                    retried: true,
                    ..again(5)
                },
                Verdict::InFlight,
            ),
            (
                Again {
                    retried: true,
                    ..again(11)
                },
                Verdict::Stolen,
            ),
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

//! When a payment provider is asked about a top-up that it has not decided.

use chrono::Duration;
use shared::clock::Instant;

/// The longest that a provider may take to answer.
pub const LONGEST_ANSWER: Duration = Duration::seconds(10);

/// For how long a top-up is in the hands of who asks the provider about it. Longer than an
/// answer takes, so that nobody asks beside them; after it, they are taken for crashed.
pub const IN_HAND: Duration = Duration::seconds(30);

/// The pause after the first answer that decided nothing.
const FIRST_PAUSE: Duration = Duration::seconds(5);
/// Doublings of it: the pause grows to 85 minutes.
const DOUBLINGS: u32 = 10;

/// When the provider is to be asked again, having been asked `asks` times without deciding.
#[must_use]
pub fn next_ask_at(asks: i32, now: Instant) -> Instant {
    let doublings = u32::try_from(asks.saturating_sub(1)).unwrap_or(0).min(DOUBLINGS);
    now + FIRST_PAUSE * (1 << doublings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_end_at_the_longest() {
        let now = Instant::UNIX_EPOCH;
        let pauses = [1, 2, 3, 4].map(|asks| (next_ask_at(asks, now) - now).num_seconds());
        assert_eq!(pauses, [5, 10, 20, 40]);
        let longest = next_ask_at(11, now);
        for asks in [12, 100, i32::MAX] {
            assert_eq!(next_ask_at(asks, now), longest);
        }
        for asks in [0, -1, i32::MIN] {
            assert_eq!(next_ask_at(asks, now), next_ask_at(1, now));
        }
    }

    #[test]
    fn who_asks_has_the_top_up_in_hand_for_longer_than_an_answer_takes() {
        assert!(IN_HAND > LONGEST_ANSWER);
    }
}

//! When loyalty is asked again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shared::{batch::Batches, ids::PurchaseId, telemetry::trace};
use tokio::time::Instant;

use super::waiters::Waiting;
use crate::app::{ask_again::AskAgain, read_purchase::PurchaseView};

/// How many purchases are asked about again in a second, at most, by one process. With one replica of
/// loyalty that hangs it is enough until the broker gives that replica no more; and where all of loyalty
/// has too much to do, it adds nothing to speak of.
const MOST_IN_A_SECOND: u32 = 50;

/// Asks loyalty again about purchases that requests wait for.
pub struct Asking {
    batches: Arc<Batches<AskAgain, ()>>,
    /// The pause before it is asked again, and again; none if it is not.
    after: Option<Duration>,
    asked: Mutex<Asked>,
}

/// What was asked in the present second.
struct Asked {
    second: Instant,
    count: u32,
}

impl Asking {
    /// Asks by `batches`, after each pause of `after`.
    #[must_use]
    pub fn new(batches: Batches<AskAgain, ()>, after: Option<Duration>) -> Self {
        Self {
            batches: Arc::new(batches),
            after,
            asked: Mutex::new(Asked {
                second: Instant::now(),
                count: 0,
            }),
        }
    }

    /// The outcome of `purchase` if it comes within `longest`. Meanwhile loyalty is asked again.
    pub(super) async fn outcome_within(
        &self,
        waiting: &mut Waiting,
        purchase: PurchaseId,
        longest: Duration,
    ) -> Option<PurchaseView> {
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let pause = self.after.map_or(left, |after| after.min(left));
            if let Some(outcome) = waiting.outcome_within(pause).await {
                return Some(outcome);
            }
            if pause == left {
                return None;
            }
            self.ask(purchase, trace::current());
        }
    }

    /// Goes on asking about `purchase` after its request was answered, with growing pauses, until it has
    /// ended or `longest` is over.
    pub(super) fn follow(self: &Arc<Self>, mut waiting: Waiting, purchase: PurchaseId, longest: Duration) {
        let Some(mut pause) = self.after else {
            return;
        };
        let (asking, traceparent) = (Arc::clone(self), trace::current());
        tokio::spawn(async move {
            let until = Instant::now() + longest;
            loop {
                pause *= 2;
                if waiting.outcome_within(pause).await.is_some() || Instant::now() >= until {
                    return;
                }
                asking.ask(purchase, traceparent.clone());
            }
        });
    }

    /// Beside the request, which goes on waiting for the outcome.
    fn ask(&self, purchase_id: PurchaseId, traceparent: Option<String>) {
        if !self.may_ask() {
            return;
        }
        let batches = Arc::clone(&self.batches);
        tokio::spawn(async move {
            let asked = AskAgain {
                purchase_id,
                traceparent,
            };
            // That it was broken off is in the log; the next one asks again.
            let _ = batches.run(asked).await;
        });
    }

    fn may_ask(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.second.elapsed() >= Duration::from_secs(1) {
            *asked = Asked {
                second: Instant::now(),
                count: 0,
            };
        }
        asked.count += 1;
        asked.count <= MOST_IN_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_asked_in_a_second_than_is_good_for_loyalty() {
        let batches = Batches::new(|asked: Vec<AskAgain>| async move { asked.iter().map(|_| ()).collect() });
        let asking = Asking::new(batches, None);
        let asked = || (0..200).filter(|_| asking.may_ask()).count();
        assert_eq!(asked(), 50);
        assert_eq!(asked(), 0);
        // The second itself is what is tested.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked(), 50);
    }
}

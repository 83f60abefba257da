//! Requests that wait for their purchase's outcome.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::ids::PurchaseId;
use tokio::{sync::watch, time::Instant};

/// Losing a wake-up costs this much: who waits also looks by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Who waits for which purchase, in this process.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<PurchaseId, watch::Sender<()>>>);

/// Waits for one purchase; forgotten when dropped.
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    purchase: PurchaseId,
    woken: Option<watch::Receiver<()>>,
}

impl Waiters {
    /// Begins to wait for `purchase`.
    pub(super) fn wait_for(self: &Arc<Self>, purchase: PurchaseId) -> Waiting {
        let woken = self
            .lock()
            .entry(purchase)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Waiting {
            waiters: Arc::clone(self),
            purchase,
            woken: Some(woken),
        }
    }

    /// Wakes everybody who waits for `purchase`.
    pub fn wake(&self, purchase: PurchaseId) {
        if let Some(waiting) = self.lock().get(&purchase) {
            // Nobody waiting any more is fine.
            let _ = waiting.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PurchaseId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Returns when woken, when it is time to look anyway, or at `give_up`.
    pub(super) async fn wake_up_by(&mut self, give_up: Instant) {
        let by = give_up.min(Instant::now() + LOOK_EVERY);
        if let Some(woken) = &mut self.woken {
            // Too late and woken are the same to who looks next.
            let _ = tokio::time::timeout_at(by, woken.changed()).await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.woken.take());
        let mut waiters = self.waiters.lock();
        if waiters
            .get(&self.purchase)
            .is_some_and(|waiting| waiting.receiver_count() == 0)
        {
            waiters.remove(&self.purchase);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_and_forgotten_afterwards() {
        let waiters = Arc::new(Waiters::default());
        let purchase = PurchaseId::new(SystemClock.now());
        let far = Instant::now() + Duration::from_secs(3_600);
        let (mut one, mut other) = (waiters.wait_for(purchase), waiters.wait_for(purchase));
        waiters.wake(purchase);
        let before = Instant::now();
        one.wake_up_by(far).await;
        other.wake_up_by(far).await;
        assert!(
            before.elapsed() < LOOK_EVERY,
            "both were woken before they looked themselves"
        );
        drop(one);
        assert_eq!(waiters.lock().len(), 1);
        drop(other);
        assert_eq!(waiters.lock().len(), 0);
    }

    #[tokio::test]
    async fn who_is_not_woken_looks_all_the_same() {
        let waiters = Arc::new(Waiters::default());
        let mut waiting = waiters.wait_for(PurchaseId::new(SystemClock.now()));
        waiting
            .wake_up_by(Instant::now() + Duration::from_secs(3_600))
            .await;
    }
}

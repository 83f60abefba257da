//! Requests that wait for their purchase's outcome.
//!
//! One task looks for all of them, in one query, when an outcome was said and from time to time;
//! however many wait, they take no more than one connection.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sea_orm::DbErr;
use shared::ids::PurchaseId;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::app::read_purchase::PurchaseView;

/// Losing a wake-up costs this much: whoever waits is also looked for from time to time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Purchases in one query.
const BATCH: usize = 500;

/// Finds those of these purchases that have ended.
pub type Look = Box<dyn Fn(Vec<PurchaseId>) -> Looking + Send + Sync>;
/// What is found.
pub type Looking = Pin<Box<dyn Future<Output = Result<Vec<PurchaseView>, DbErr>> + Send>>;

/// What those who wait for one purchase have been told.
type Told = watch::Sender<Option<PurchaseView>>;

/// Who waits for which purchase, in this process.
pub struct Waiters {
    look: Look,
    woken: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<PurchaseId, Told>,
    /// Of which an outcome was said.
    woken: HashSet<PurchaseId>,
    /// Whether a task looks for those who wait.
    is_looking: bool,
}

/// Waits for one purchase; forgotten when dropped.
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    purchase: PurchaseId,
    outcome: Option<watch::Receiver<Option<PurchaseView>>>,
}

impl Waiters {
    /// Nobody yet.
    #[must_use]
    pub fn new(look: Look) -> Self {
        Self {
            look,
            woken: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Begins to wait for `purchase`.
    pub(super) fn wait_for(self: &Arc<Self>, purchase: PurchaseId) -> Waiting {
        let mut state = self.lock();
        let outcome = state
            .waiting
            .entry(purchase)
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe();
        if !std::mem::replace(&mut state.is_looking, true) {
            tokio::spawn(Arc::clone(self).look_for_all());
        }
        drop(state);
        Waiting {
            waiters: Arc::clone(self),
            purchase,
            outcome: Some(outcome),
        }
    }

    /// Looks at once whether `purchase` has ended, if anybody waits for it who has not been told: where
    /// it was settled here, [`tell`](Self::tell) comes first.
    pub fn wake(&self, purchase: PurchaseId) {
        let mut state = self.lock();
        if state.waiting.get(&purchase).is_some_and(is_open) {
            state.woken.insert(purchase);
            self.woken.notify_one();
        }
    }

    /// Looks until nobody waits any more.
    async fn look_for_all(self: Arc<Self>) {
        let mut look_at_all = Instant::now() + LOOK_EVERY;
        loop {
            // Too late and woken are the same here: there is something to look for.
            let _ = tokio::time::timeout_at(look_at_all, self.woken.notified()).await;
            let is_time = Instant::now() >= look_at_all;
            let Some(purchases) = self.to_look_for(is_time) else {
                return;
            };
            for batch in purchases.chunks(BATCH) {
                match (self.look)(batch.to_vec()).await {
                    Ok(ended) => self.tell(ended),
                    Err(error) => tracing::warn!(%error, "can't look whether purchases have ended"),
                }
            }
            if is_time {
                look_at_all = Instant::now() + LOOK_EVERY;
            }
        }
    }

    /// Those that were woken, or all, without what was told meanwhile; none if nobody waits, and then
    /// nobody looks any more.
    fn to_look_for(&self, all: bool) -> Option<Vec<PurchaseId>> {
        let mut state = self.lock();
        let woken = std::mem::take(&mut state.woken);
        if state.waiting.is_empty() {
            state.is_looking = false;
            return None;
        }
        let is_open = |purchase: &PurchaseId| state.waiting.get(purchase).is_some_and(is_open);
        Some(if all {
            state.waiting.keys().copied().filter(is_open).collect()
        } else {
            woken.into_iter().filter(is_open).collect()
        })
    }

    /// These have ended: whoever waits for one of them need not look.
    pub fn tell(&self, ended: Vec<PurchaseView>) {
        let state = self.lock();
        for view in ended {
            if let Some(waiting) = state.waiting.get(&view.purchase.id) {
                waiting.send_replace(Some(view));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody who waits knows the outcome yet.
fn is_open(told: &Told) -> bool {
    told.borrow().is_none()
}

impl Waiting {
    /// The purchase when it has ended; none if it has not within `longest`, or nobody can tell.
    pub(super) async fn outcome_within(&mut self, longest: Duration) -> Option<PurchaseView> {
        let outcome = self.outcome.as_mut()?;
        let ended = tokio::time::timeout(longest, outcome.wait_for(Option::is_some)).await;
        ended.ok()?.ok()?.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.outcome.take());
        let mut state = self.waiters.lock();
        if state
            .waiting
            .get(&self.purchase)
            .is_some_and(|waiting| waiting.receiver_count() == 0)
        {
            state.waiting.remove(&self.purchase);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shared::{
        clock::{Clock as _, SystemClock},
        ids::{TariffId, UserId},
        money::Amount,
        testing::{PATIENCE, eventually},
    };

    use super::*;
    use crate::domain::purchase::{Purchase, PurchaseState};

    const LONG: Duration = PATIENCE;

    fn ended(id: PurchaseId) -> PurchaseView {
        let now = SystemClock.now();
        let purchase = Purchase {
            id,
            version: 2,
            user_id: UserId(id.0),
            tariff_id: TariffId(id.0),
            tariff_version: 1,
            tariff_name: "Basic".to_owned(),
            list_price: Amount(1),
            discount: Amount(0),
            period: "P1M".parse().unwrap(),
            promocode: None,
            expected_price: None,
            state: PurchaseState::Paid,
            refusal_reasons: Vec::new(),
            requested_at: now,
            deadline: now,
            settled_at: Some(now),
            balance_after: Some(Amount(0)),
            refund: None,
        };
        PurchaseView {
            purchase,
            subscription: None,
        }
    }

    /// Finds every purchase ended from its `after`th look on, or can't look at all, and counts.
    fn waiters(after: usize, looks: &Arc<AtomicUsize>) -> Arc<Waiters> {
        let looks = Arc::clone(looks);
        let look: Look = Box::new(move |ids| {
            let seen = looks.fetch_add(1, Ordering::SeqCst) + 1;
            let found = if seen >= after {
                ids.into_iter().map(ended).collect()
            } else {
                Vec::new()
            };
            Box::pin(std::future::ready(Ok(found)))
        });
        Arc::new(Waiters::new(look))
    }

    fn purchase() -> PurchaseId {
        PurchaseId::new(SystemClock.now())
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_forgotten_afterwards() {
        let waiters = waiters(1, &Arc::default());
        let id = purchase();
        let (mut one, mut other) = (waiters.wait_for(id), waiters.wait_for(id));
        let before = Instant::now();
        waiters.wake(id);
        assert!(one.outcome_within(LONG).await.is_some());
        assert!(other.outcome_within(LONG).await.is_some());
        assert!(before.elapsed() < LOOK_EVERY, "woken, not found by the way");
        drop(one);
        assert_eq!(waiters.lock().waiting.len(), 1);
        drop(other);
        assert_eq!(waiters.lock().waiting.len(), 0);
        let at_rest = || std::future::ready((!waiters.lock().is_looking).then_some(()));
        eventually("nobody looks when nobody waits", at_rest).await;
    }

    #[tokio::test]
    async fn who_is_not_woken_is_found_all_the_same_also_after_nobody_had_waited() {
        let waiters = waiters(1, &Arc::default());
        for _ in 0..2 {
            assert!(waiters.wait_for(purchase()).outcome_within(LONG).await.is_some());
            let at_rest = || std::future::ready((!waiters.lock().is_looking).then_some(()));
            eventually("nobody looks when nobody waits", at_rest).await;
        }
    }

    #[tokio::test]
    async fn two_hundred_who_wait_are_looked_for_by_one() {
        let looks = Arc::default();
        let waiters = waiters(3, &looks);
        let mut all: Vec<_> = (0..200).map(|_| waiters.wait_for(purchase())).collect();
        for waiting in &mut all {
            assert!(waiting.outcome_within(LONG).await.is_some());
        }
        let looks = looks.load(Ordering::SeqCst);
        assert!(
            (3..10).contains(&looks),
            "{looks} looks, not one for each who waits"
        );
    }

    /// The outcome is said when it is told already, before whoever waited has come to its turn.
    #[tokio::test]
    async fn nobody_looks_for_what_was_told() {
        let looked_for: Arc<Mutex<Vec<PurchaseId>>> = Arc::default();
        let seen = Arc::clone(&looked_for);
        let look: Look = Box::new(move |ids| {
            seen.lock().unwrap().extend(&ids);
            Box::pin(std::future::ready(Ok(ids.into_iter().map(ended).collect())))
        });
        let waiters = Arc::new(Waiters::new(look));
        let (told, other) = (purchase(), purchase());
        let mut waiting = waiters.wait_for(told);
        waiters.tell(vec![ended(told)]);
        waiters.wake(told);
        assert!(waiters.wait_for(other).outcome_within(LONG).await.is_some());
        assert!(waiting.outcome_within(LONG).await.is_some());
        assert_eq!(*looked_for.lock().unwrap(), [other]);
    }

    #[tokio::test]
    async fn a_look_that_fails_or_hangs_lets_nobody_wait_for_longer() {
        let failing: Look = Box::new(|_| {
            Box::pin(std::future::ready(Err(DbErr::RecordNotFound(
                "no database".to_owned(),
            ))))
        });
        let hanging: Look = Box::new(|_| Box::pin(std::future::pending()));
        for look in [failing, hanging] {
            let waiters = Arc::new(Waiters::new(look));
            let mut waiting = waiters.wait_for(purchase());
            let outcome = tokio::time::timeout(LONG, waiting.outcome_within(LOOK_EVERY * 3));
            assert_eq!(outcome.await, Ok(None));
        }
    }
}

//! Top-ups through providers that think, fail, or are gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use billing::{
    app::{
        books::Books,
        claim_key::{ClaimError, Keyed},
        finish_top_ups::finish_top_ups,
        reconcile::reconcile,
        top_up_wallet::{TopUp, TopUpError, TopUpState, TopUpWallet, top_up_wallet},
    },
    domain::{idempotency::RequestHash, ledger::ProviderName, wallet::OperationAmount},
    providers::{Charge, Outcome, PaymentProvider, ProviderError},
};
use chrono::Duration;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    ids::TopUpId,
    money::Amount,
    testing::{TestDatabase, eventually},
};
use tokio::sync::Semaphore;

use crate::{Billing, Customer, DATABASES, money, rub};

/// What the provider does is in the amount.
const NEVER_DECIDES: i64 = 100;
const ALWAYS_FAILS: i64 = 200;
pub(crate) const DECIDES_THE_SECOND_TIME: i64 = 300;
const WAITS_TO_BE_LET: i64 = 400;

pub(crate) struct Scripted {
    name: ProviderName,
    asked: Mutex<HashMap<TopUpId, usize>>,
    let_go: Semaphore,
}

impl Scripted {
    pub(crate) fn named(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.parse().unwrap(),
            asked: Mutex::default(),
            let_go: Semaphore::new(0),
        })
    }

    fn asks(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

#[async_trait]
impl PaymentProvider for Scripted {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    async fn charge(&self, charge: &Charge) -> Result<Outcome, ProviderError> {
        let times = {
            let mut asked = self.asked.lock().unwrap();
            let times = asked.entry(charge.id).or_default();
            *times += 1;
            *times
        };
        match charge.amount.amount.0 {
            NEVER_DECIDES => Ok(Outcome::Pending),
            DECIDES_THE_SECOND_TIME if times == 1 => Ok(Outcome::Pending),
            ALWAYS_FAILS => Err(ProviderError("no route".into())),
            WAITS_TO_BE_LET => {
                let _let_go = self.let_go.acquire().await;
                Ok(Outcome::Approved)
            }
            _ => Ok(Outcome::Approved),
        }
    }
}

struct TopUps {
    billing: Billing,
    clock: ManualClock,
    books: Books,
    customer: Customer,
}

impl TopUps {
    async fn start(database: TestDatabase, providers: &[&Arc<Scripted>]) -> Self {
        let clock = ManualClock::at(SystemClock.now());
        let billing = Billing::with(database, Arc::new(clock.clone()), |_| {}).await;
        let names = providers.iter().map(|provider| provider.name.clone());
        let currency = iso_currency::Currency::RUB;
        let books = Books::open(billing.service.db.writer(), currency, names, clock.now())
            .await
            .unwrap();
        let customer = billing.customer();
        Self {
            billing,
            clock,
            books,
            customer,
        }
    }

    async fn top_up(
        &self,
        provider: Option<&Arc<Scripted>>,
        amount: i64,
        key: Option<&str>,
    ) -> Result<TopUp, TopUpError> {
        let keyed = key.map(|key| Keyed {
            key: key.parse().unwrap(),
            hash: RequestHash::of("top_up", &money(amount)).unwrap(),
        });
        let input = TopUpWallet {
            user_id: self.customer.id,
            amount: OperationAmount::parse(Amount(amount)).unwrap(),
            keyed,
            free_failures: u32::MAX,
        };
        let provider = provider.map(|provider| -> &dyn PaymentProvider { &**provider });
        top_up_wallet(&self.billing.service.db, &self.books, provider, &input).await
    }

    async fn finish_undecided(&self, provider: &Arc<Scripted>) {
        finish_top_ups(&self.billing.service.db, &self.books, &**provider)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_leaves_a_pending_top_up_and_no_error() {
    for database in DATABASES {
        let provider = Scripted::named("acme");
        let top_ups = TopUps::start(database, &[&provider]).await;
        let begun = top_ups.top_up(Some(&provider), ALWAYS_FAILS, None).await.unwrap();
        assert_eq!(begun.state, TopUpState::Pending);
        let path = format!("/billing/v1/top-ups/{}", begun.id);
        let shown = top_ups.customer.api.get(&path).await.expect(200);
        assert_eq!(
            (&shown["status"], &shown["amount"]),
            (&"pending".into(), &rub(ALWAYS_FAILS))
        );
        top_ups.billing.admin.get(&path).await.expect(200);
        let stranger = top_ups.billing.customer();
        stranger.api.get(&path).await.expect_problem(404, "not_found");
        top_ups.billing.finish().await;
    }
}

#[tokio::test]
async fn top_ups_that_stay_undecided_keep_no_other_from_its_money() {
    for database in DATABASES {
        let provider = Scripted::named("acme");
        let top_ups = TopUps::start(database, &[&provider]).await;
        top_ups.top_up(Some(&provider), ALWAYS_FAILS, None).await.unwrap();
        for _ in 0..55 {
            top_ups
                .top_up(Some(&provider), NEVER_DECIDES, None)
                .await
                .unwrap();
        }
        top_ups.clock.advance(Duration::milliseconds(1));
        let last = top_ups
            .top_up(Some(&provider), DECIDES_THE_SECOND_TIME, None)
            .await;
        assert_eq!(last.unwrap().state, TopUpState::Pending);
        assert_eq!(top_ups.customer.balance().await, 0);
        top_ups.clock.advance(Duration::minutes(2));
        for _ in 0..2 {
            top_ups.finish_undecided(&provider).await;
        }
        assert_eq!(top_ups.customer.balance().await, DECIDES_THE_SECOND_TIME);
        let asks = provider.asks();
        assert_eq!(asks, 2 * 57);
        // The pauses grow: what was asked about just now is left alone.
        top_ups.clock.advance(Duration::seconds(6));
        top_ups.finish_undecided(&provider).await;
        assert_eq!(provider.asks(), asks);
        top_ups.clock.advance(Duration::seconds(6));
        for _ in 0..2 {
            top_ups.finish_undecided(&provider).await;
        }
        assert_eq!(provider.asks(), asks + 56);
        top_ups.billing.finish().await;
    }
}

#[tokio::test]
async fn a_repeat_asks_nobody_but_the_provider_that_the_top_up_was_begun_with() {
    for database in DATABASES {
        let (provider, other) = (Scripted::named("acme"), Scripted::named("other"));
        let top_ups = TopUps::start(database, &[&provider, &other]).await;
        let begin = |provider| top_ups.top_up(provider, DECIDES_THE_SECOND_TIME, Some("key"));
        let begun = begin(Some(&provider)).await.unwrap();
        for another in [Some(&other), None] {
            let again = begin(another).await.unwrap();
            assert_eq!((again.id, again.state), (begun.id, TopUpState::Pending));
        }
        assert_eq!((provider.asks(), other.asks()), (1, 0));
        // Over HTTP the provider is the sandbox: one more that knows nothing of it.
        let path = "/billing/v1/balance/top-up";
        let body = rub(DECIDES_THE_SECOND_TIME);
        let answer = top_ups.customer.api.post_once(path, "key", &body).await;
        let location = answer.headers["location"].to_str().unwrap().to_owned();
        assert_eq!(location, format!("/billing/v1/top-ups/{}", begun.id));
        let shown = answer.expect(202);
        assert_eq!(
            (&shown["id"], &shown["status"]),
            (&serde_json::json!(begun.id), &"pending".into())
        );
        assert_eq!(top_ups.customer.api.get(&location).await.expect(200), shown);

        let conn = top_ups.billing.service.db.reader();
        let later = top_ups.clock.now() + Duration::hours(25);
        let findings = reconcile(conn, later).await.unwrap();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0].id, begun.id.0);

        let decided = begin(Some(&provider)).await.unwrap();
        assert_eq!((decided.id, decided.state), (begun.id, TopUpState::Approved));
        assert_eq!((provider.asks(), other.asks()), (2, 0));
        assert_eq!(top_ups.customer.balance().await, DECIDES_THE_SECOND_TIME);
        assert!(reconcile(conn, later).await.unwrap().is_empty());
        top_ups.billing.finish().await;
    }
}

#[tokio::test]
async fn a_repeat_does_not_ask_beside_the_first_request() {
    for database in DATABASES {
        let provider = Scripted::named("acme");
        let top_ups = Arc::new(TopUps::start(database, &[&provider]).await);
        let first = {
            let (top_ups, provider) = (Arc::clone(&top_ups), Arc::clone(&provider));
            tokio::spawn(async move {
                top_ups
                    .top_up(Some(&provider), WAITS_TO_BE_LET, Some("key"))
                    .await
            })
        };
        let asked = || std::future::ready((provider.asks() == 1).then_some(()));
        eventually("the provider is asked", asked).await;
        let again = top_ups
            .top_up(Some(&provider), WAITS_TO_BE_LET, Some("key"))
            .await;
        assert!(
            matches!(again, Err(TopUpError::Claim(ClaimError::InFlight))),
            "{again:?}"
        );
        top_ups.finish_undecided(&provider).await;
        assert_eq!(provider.asks(), 1);
        provider.let_go.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap().state, TopUpState::Approved);
        let again = top_ups
            .top_up(Some(&provider), WAITS_TO_BE_LET, Some("key"))
            .await;
        assert_eq!(again.unwrap().state, TopUpState::Approved);
        assert_eq!(provider.asks(), 1);
        assert_eq!(top_ups.customer.balance().await, WAITS_TO_BE_LET);
        let top_ups = Arc::into_inner(top_ups).unwrap();
        top_ups.billing.finish().await;
    }
}

//! Purchases in one transaction: each is what it would be alone, and none suffers for another.

mod failures;
mod keys;

use std::sync::Arc;

use billing::{
    app::{
        books::Books,
        buy_tariff::{Bought, BuyTariff, BuyTariffError, buy_together},
        claim_key::Keyed,
        read_purchase::{PurchaseView, read_purchase},
    },
    domain::{
        idempotency::RequestHash,
        purchase::{PurchaseState, StartError},
    },
};
use chrono::Duration;
use iso_currency::Currency;
use serde_json::json;
use shared::{
    contracts::{
        Envelope, FailureReason, HoldPromocodeV1, Message, PurchaseFailedV1, PurchasePaidV1, UserBlockedV1,
        UserStatus,
    },
    ids::TariffId,
    testing::{TestDatabase, eventually},
};
use tokio::sync::broadcast::Receiver;

use crate::{Billing, Customer, DATABASES, LOYALTY};

/// Billing whose purchases the test makes itself, and hears what they say.
struct Counter {
    billing: Billing,
    books: Books,
    said: Receiver<Arc<Envelope>>,
}

impl Counter {
    async fn open(database: TestDatabase) -> Self {
        let billing = Billing::start(database).await;
        let db = &billing.service.db;
        let books = db
            .write(|tx| async move { Books::open(tx.conn(), Currency::RUB, None, tx.now()).await })
            .await
            .unwrap();
        let said = db.said();
        Self { billing, books, said }
    }

    async fn buy(&self, asked: &[BuyTariff]) -> Vec<Bought> {
        let bought = buy_together(&self.billing.service.db, &self.books, asked).await;
        assert_eq!(bought.len(), asked.len());
        for view in bought.iter().flatten() {
            let kept = read_purchase(self.billing.service.db.reader(), view.purchase.id).await;
            assert_eq!(kept.unwrap().as_ref(), Some(view), "it is as it was said to be");
        }
        bought
    }

    /// What was said since the last time, in order: what, and about which purchase.
    fn said(&mut self) -> Vec<(String, uuid::Uuid)> {
        std::iter::from_fn(|| self.said.try_recv().ok())
            .map(|envelope| (envelope.message_type.clone(), envelope.subject))
            .collect()
    }

    async fn block(&self, customer: &Customer) {
        let state = self.billing.user_state(customer.id, 2, UserStatus::Blocked);
        self.billing.service.peers.say(&UserBlockedV1(state)).await;
    }

    /// The balance of somebody who may be blocked.
    async fn balance_of(&self, customer: &Customer) -> i64 {
        let path = format!("/billing/v1/balance?user_id={}", customer.id);
        let body = self.billing.admin.get(&path).await.expect(200);
        body["balance"]["amount"].as_i64().unwrap()
    }

    async fn archived(&self) -> TariffId {
        let tariff = self.billing.tariff(1_000).await;
        let path = format!("/billing/v1/tariffs/{tariff}/archive");
        self.billing.admin.post(&path, &json!({})).await.expect(200);
        tariff
    }
}

fn asks(customer: &Customer, tariff_id: TariffId) -> BuyTariff {
    BuyTariff {
        user_id: customer.id,
        tariff_id,
        promocode: None,
        expected_price: None,
        patience: Duration::hours(1),
        keyed: None,
        free_failures: u32::MAX,
        client_bucket: None,
        traceparent: None,
    }
}

fn with_promocode(asked: BuyTariff) -> BuyTariff {
    BuyTariff {
        promocode: Some("SALE".to_owned()),
        ..asked
    }
}

/// `asked` under `key`, as a request of which nothing but `body` is known.
fn once(asked: BuyTariff, key: &str, body: &str) -> BuyTariff {
    BuyTariff {
        keyed: Some(Keyed {
            key: key.parse().unwrap(),
            hash: RequestHash::of("purchase", &body).unwrap(),
        }),
        ..asked
    }
}

/// How a purchase stands, without what is different each time.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Is(PurchaseState, Option<i64>),
    NoSuchTariff,
    NotSold,
}

fn outcome(bought: &Bought) -> Outcome {
    match bought {
        Ok(PurchaseView {
            purchase,
            subscription,
        }) => {
            assert_eq!(subscription.is_some(), purchase.state == PurchaseState::Paid);
            Outcome::Is(purchase.state, purchase.balance_after.map(|left| left.0))
        }
        Err(BuyTariffError::NoSuchTariff) => Outcome::NoSuchTariff,
        Err(BuyTariffError::Start(StartError::TariffNotSold)) => Outcome::NotSold,
        Err(error) => panic!("{error:?}"),
    }
}

/// The purchase, which must be one.
fn view(bought: &Bought) -> &PurchaseView {
    bought.as_ref().unwrap()
}

fn words(said: &[(String, uuid::Uuid)]) -> Vec<&str> {
    said.iter().map(|(what, _)| what.as_str()).collect()
}

/// Customers in every situation, and what they ask for.
async fn everybody(counter: &Counter) -> (Vec<Customer>, Vec<BuyTariff>) {
    let billing = &counter.billing;
    let mut customers = Vec::new();
    for amount in [10_000, 10_000, 10_000, 1_500, 10_000, 10_000] {
        customers.push(billing.customer_with(amount).await);
    }
    let [plain, promocode, blocked, twice, lost, late] = customers.as_slice() else {
        panic!("six customers");
    };
    counter.block(blocked).await;
    let (tariff, archived) = (billing.tariff(1_000).await, counter.archived().await);
    let nowhere = TariffId::new(billing.service.peers.now());
    let asked = vec![
        asks(twice, tariff),
        asks(plain, tariff),
        with_promocode(asks(promocode, tariff)),
        asks(lost, nowhere),
        with_promocode(asks(blocked, tariff)),
        asks(twice, tariff),
        asks(late, archived),
    ];
    (customers, asked)
}

#[tokio::test]
async fn each_of_a_batch_gets_what_it_would_get_alone() {
    for database in DATABASES {
        let mut counter = Counter::open(database).await;
        let blocked = PurchaseState::Failed(FailureReason::UserBlocked);
        let too_little = PurchaseState::Failed(FailureReason::InsufficientFunds);
        let expected = [
            Outcome::Is(PurchaseState::Paid, Some(500)),
            Outcome::Is(PurchaseState::Paid, Some(9_000)),
            Outcome::Is(PurchaseState::Pending, None),
            Outcome::NoSuchTariff,
            Outcome::Is(blocked, Some(10_000)),
            Outcome::Is(too_little, Some(500)),
            Outcome::NotSold,
        ];
        for together in [true, false] {
            let (customers, asked) = everybody(&counter).await;
            let bought = if together {
                counter.buy(&asked).await
            } else {
                let mut bought = Vec::new();
                for asked in &asked {
                    bought.extend(counter.buy(std::slice::from_ref(asked)).await);
                }
                bought
            };
            let outcomes: Vec<_> = bought.iter().map(outcome).collect();
            assert_eq!(outcomes, expected, "together: {together}");
            for (asked, view) in asked.iter().zip(&bought) {
                let Ok(view) = view else { continue };
                assert_eq!(view.purchase.user_id, asked.user_id, "everybody gets their own");
            }

            let said = counter.said();
            let (paid, hold, failed) = (
                PurchasePaidV1::TYPE,
                HoldPromocodeV1::TYPE,
                PurchaseFailedV1::TYPE,
            );
            assert_eq!(words(&said), [paid, paid, hold, failed, failed]);
            let about: Vec<_> = said.iter().map(|(_, about)| *about).collect();
            let begun: Vec<_> = bought.iter().flatten().map(|view| view.purchase.id.0).collect();
            assert_eq!(about, begun);

            let expected = [
                (9_000, 1, 2),
                (10_000, 1, 1),
                (10_000, 1, 1),
                (500, 2, 2),
                (10_000, 0, 1),
                (10_000, 0, 1),
            ];
            for (customer, (left, purchases, transfers)) in customers.iter().zip(expected) {
                assert_eq!(counter.balance_of(customer).await, left);
                if customer.id == asked[4].user_id {
                    continue; // blocked, who may not look
                }
                assert_eq!(customer.items("purchases").await.len(), purchases);
                assert_eq!(customer.items("transfers").await.len(), transfers);
            }
        }
        // What was said is in the outbox, from which the service takes it.
        let peers = &counter.billing.service.peers;
        eventually("loyalty hears all of it", || async {
            let heard = (
                peers.heard::<PurchasePaidV1>(LOYALTY).len(),
                peers.heard::<HoldPromocodeV1>(LOYALTY).len(),
                peers.heard::<PurchaseFailedV1>(LOYALTY).len(),
            );
            (heard == (4, 2, 4)).then_some(())
        })
        .await;
        counter.billing.finish().await;
    }
}

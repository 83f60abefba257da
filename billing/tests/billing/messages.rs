//! Messages that come twice, late, together and in any order.

use std::collections::BTreeSet;

use shared::{
    contracts::{HoldPromocodeV1, PromocodeRefusedV1, PurchaseFailedV1, PurchasePaidV1, ReportPurchaseV1},
    ids::PurchaseId,
    inbox::{Status, entity::Entity as Inbox},
    testing::eventually,
};

use crate::{Billing, DATABASES, LOYALTY, held, money};

fn report(hold: &HoldPromocodeV1) -> ReportPurchaseV1 {
    ReportPurchaseV1 {
        purchase_id: hold.purchase_id,
    }
}

fn refused(hold: &HoldPromocodeV1) -> PromocodeRefusedV1 {
    PromocodeRefusedV1 {
        purchase_id: hold.purchase_id,
        user_id: hold.user_id,
        reasons: Vec::new(),
    }
}

#[tokio::test]
async fn answers_that_come_again_and_in_any_order_charge_once() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        // Before there is an outcome, a question for it is answered by nothing.
        peers.say(&report(&hold)).await;
        let once = peers.seal_all(&[held(&hold, 1_000)]);
        let again = peers.seal_all(&[held(&hold, 1_000), held(&hold, 1_000)]);
        peers
            .deliver(&[once.clone(), once.clone(), again.clone()].concat())
            .await;
        answer.await.unwrap().expect(201);
        let shown = customer.purchase(hold.purchase_id).await;

        peers.deliver(&once).await;
        peers.say(&held(&hold, 1_000)).await;
        peers.say(&held(&hold, 10_000)).await;
        peers.say(&refused(&hold)).await;
        assert_eq!(customer.purchase(hold.purchase_id).await, shown);
        assert_eq!(customer.balance().await, 91_000);
        assert_eq!(customer.items("subscriptions").await.len(), 1);
        peers.hears::<PurchasePaidV1>(LOYALTY, |_| true).await;
        assert_eq!(peers.heard::<PurchasePaidV1>(LOYALTY).len(), 1, "said once");
        assert!(peers.heard::<PurchaseFailedV1>(LOYALTY).is_empty());
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_stands_whatever_comes_after_it() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        peers.say(&refused(&hold)).await;
        answer.await.unwrap().expect_problem(422, "promocode_refused");
        peers
            .deliver(
                &[
                    peers.seal_all(&[refused(&hold), refused(&hold)]),
                    peers.seal_all(&[held(&hold, 0)]),
                ]
                .concat(),
            )
            .await;
        assert_eq!(customer.balance().await, 100_000);
        peers.hears::<PurchaseFailedV1>(LOYALTY, |_| true).await;
        assert_eq!(peers.heard::<PurchaseFailedV1>(LOYALTY).len(), 1);
        billing.finish().await;
    }
}

#[tokio::test]
async fn an_outcome_is_said_again_under_a_new_id_when_loyalty_asks() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(15_000).await;
        let tariff = billing.tariff(10_000).await;
        let (paid, paid_hold) = billing.begin(&customer, tariff).await;
        peers.say(&held(&paid_hold, 0)).await;
        paid.await.unwrap().expect(201);
        let (failed, failed_hold) = billing.begin(&customer, tariff).await;
        peers.say(&held(&failed_hold, 0)).await;
        failed.await.unwrap().expect_problem(402, "insufficient_funds");

        peers
            .deliver(&peers.seal_all(&[report(&paid_hold), report(&failed_hold)]))
            .await;
        peers.say(&report(&paid_hold)).await;
        let count = || {
            (
                peers.envelopes::<PurchasePaidV1>(LOYALTY).len(),
                peers.envelopes::<PurchaseFailedV1>(LOYALTY).len(),
            )
        };
        eventually("both are said again", || async {
            (count() == (3, 2)).then_some(())
        })
        .await;
        let said = peers.heard::<PurchasePaidV1>(LOYALTY);
        assert!(
            said.iter().all(|paid| *paid == said[0]),
            "the same as before: {said:#?}"
        );
        let ids: BTreeSet<_> = peers
            .envelopes::<PurchasePaidV1>(LOYALTY)
            .iter()
            .map(|said| said.id)
            .collect();
        assert_eq!(ids.len(), 3, "each under an id of its own");
        assert_eq!(customer.balance().await, 5_000);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_batch_may_hold_one_wallet_many_times() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        // Enough for three of five, and another customer between them.
        let (customer, other) = (
            billing.customer_with(35_000).await,
            billing.customer_with(10_000).await,
        );
        let tariff = billing.tariff(10_000).await;
        let (mut answers, mut batch) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (answer, hold) = billing.begin(&customer, tariff).await;
            answers.push(answer);
            batch.push(held(&hold, 0));
        }
        let (answer, hold) = billing.begin(&other, tariff).await;
        batch.insert(2, held(&hold, 0));
        batch.push(batch[0].clone());
        peers.deliver(&peers.seal_all(&batch)).await;
        answer.await.unwrap();
        let mut states = Vec::new();
        for answer in answers {
            answer.await.unwrap();
        }
        for held in batch.iter().take(6).filter(|held| held.user_id == customer.id) {
            let shown = customer.purchase(held.purchase_id).await;
            states.push((
                shown["status"].clone(),
                shown["balance_after"]["amount"].as_i64().unwrap(),
            ));
        }
        let expected = [
            ("paid", 25_000),
            ("paid", 15_000),
            ("paid", 5_000),
            ("failed", 5_000),
            ("failed", 5_000),
        ];
        assert_eq!(states, expected.map(|(state, balance)| (state.into(), balance)));
        assert_eq!((customer.balance().await, other.balance().await), (5_000, 0));
        billing.finish().await;
    }
}

#[tokio::test]
async fn an_answer_that_can_not_be_true_is_kept_and_never_charged() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let good = held(&hold, 1_000);
        let mut other_price = held(&hold, 1_000);
        other_price.list_price = money(9_000);
        let mut bad_sum = held(&hold, 1_000);
        bad_sum.final_price = money(1);
        let mut other_user = held(&hold, 1_000);
        other_user.user_id = billing.service.new_user();
        let mut other_currency = held(&hold, 1_000);
        other_currency.final_price.currency = iso_currency::Currency::EUR;
        let mut unknown = held(&hold, 1_000);
        unknown.purchase_id = PurchaseId::new(peers.now());
        let bad = [other_price, bad_sum, other_user, other_currency, unknown];
        peers.deliver(&peers.seal_all(&bad)).await;
        assert_eq!(customer.balance().await, 100_000);
        assert_eq!(customer.purchase(hold.purchase_id).await["status"], "pending");
        let rows = <Inbox as sea_orm::EntityTrait>::find()
            .all(billing.service.db.reader())
            .await
            .unwrap();
        assert_eq!(
            rows.iter().filter(|row| row.status == Status::Retry).count(),
            bad.len(),
            "{rows:#?}"
        );
        peers.say(&good).await;
        answer.await.unwrap().expect(201);
        billing.finish().await;
    }
}

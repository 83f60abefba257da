//! Keys within a batch.

use billing::{
    app::{buy_tariff::BuyTariffError, claim_key::ClaimError},
    domain::purchase::PurchaseState,
};
use shared::{
    contracts::{Message as _, PurchasePaidV1},
    ids::TariffId,
};

use super::{Counter, Outcome, asks, once, outcome, view, with_promocode, words};
use crate::DATABASES;

#[tokio::test]
async fn a_new_key_twice_in_a_batch_is_one_purchase() {
    for database in DATABASES {
        let mut counter = Counter::open(database).await;
        let customer = counter.billing.customer_with(10_000).await;
        let other = counter.billing.customer_with(10_000).await;
        let tariff = counter.billing.tariff(1_000).await;
        let keyed = once(asks(&customer, tariff), "key", "this");
        // The key means something only together with its user.
        let same_key = once(asks(&other, tariff), "key", "this");
        let bought = counter.buy(&[keyed.clone(), same_key, keyed.clone()]).await;
        let first = view(&bought[0]).purchase.id;
        match &bought[2] {
            Ok(again) => assert_eq!(again.purchase.id, first),
            Err(error) => assert!(
                matches!(error, BuyTariffError::Claim(ClaimError::InFlight)),
                "{error:?}"
            ),
        }
        assert_ne!(view(&bought[1]).purchase.id, first);
        assert_eq!(words(&counter.said()), [PurchasePaidV1::TYPE; 2]);
        for customer in [&customer, &other] {
            assert_eq!(customer.balance().await, 9_000);
            assert_eq!(customer.items("purchases").await.len(), 1);
        }
        counter.billing.finish().await;
    }
}

#[tokio::test]
async fn two_repeats_in_a_batch_both_show_what_was_done() {
    for database in DATABASES {
        let mut counter = Counter::open(database).await;
        let customer = counter.billing.customer_with(10_000).await;
        let tariff = counter.billing.tariff(1_000).await;
        let paid = once(asks(&customer, tariff), "paid", "this");
        let pending = with_promocode(once(asks(&customer, tariff), "pending", "that"));
        let first = counter.buy(&[paid.clone(), pending.clone()]).await;
        counter.said();
        let again = counter.buy(&[paid.clone(), pending.clone(), pending, paid]).await;
        let shown: Vec<_> = again.iter().map(view).collect();
        let (paid, pending) = (view(&first[0]), view(&first[1]));
        assert_eq!(shown, [paid, pending, pending, paid]);
        assert_eq!(words(&counter.said()), [""; 0]);
        assert_eq!(customer.balance().await, 9_000);
        counter.billing.finish().await;
    }
}

#[tokio::test]
async fn another_request_under_a_key_is_refused_in_the_midst_of_others() {
    for database in DATABASES {
        let counter = Counter::open(database).await;
        let customer = counter.billing.customer_with(10_000).await;
        let tariff = counter.billing.tariff(1_000).await;
        let plain = asks(&customer, tariff);
        counter.buy(&[once(plain.clone(), "key", "this")]).await;
        let bought = counter
            .buy(&[plain.clone(), once(plain.clone(), "key", "that"), plain])
            .await;
        assert!(
            matches!(bought[1], Err(BuyTariffError::Claim(ClaimError::Mismatch))),
            "{bought:?}"
        );
        assert_ne!(view(&bought[0]).purchase.id, view(&bought[2]).purchase.id);
        assert_eq!(customer.balance().await, 7_000);
        counter.billing.finish().await;
    }
}

#[tokio::test]
async fn what_is_not_begun_uses_up_no_key() {
    for database in DATABASES {
        let counter = Counter::open(database).await;
        let customer = counter.billing.customer_with(10_000).await;
        let tariff = counter.billing.tariff(1_000).await;
        let nowhere = TariffId::new(counter.billing.service.peers.now());
        let archived = counter.archived().await;
        let bought = counter
            .buy(&[
                once(asks(&customer, nowhere), "nowhere", "this"),
                asks(&customer, tariff),
                once(asks(&customer, archived), "archived", "this"),
            ])
            .await;
        let outcomes: Vec<_> = bought.iter().map(outcome).collect();
        let paid = Outcome::Is(PurchaseState::Paid, Some(9_000));
        assert_eq!(outcomes, [Outcome::NoSuchTariff, paid, Outcome::NotSold]);
        // Another request, which would be refused under a key that was used.
        let bought = counter
            .buy(&[
                once(asks(&customer, tariff), "nowhere", "that"),
                once(asks(&customer, tariff), "archived", "that"),
            ])
            .await;
        assert!(bought.iter().all(|bought| view(bought).subscription.is_some()));
        assert_eq!(customer.balance().await, 7_000);
        counter.billing.finish().await;
    }
}

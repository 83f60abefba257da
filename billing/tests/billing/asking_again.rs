//! Loyalty that does not answer is asked again.

use shared::{
    contracts::{HoldPromocodeV1, PurchasePaidV1},
    testing::eventually,
};

use crate::{Billing, DATABASES, LOYALTY, held};

async fn asked(billing: &Billing, first: &HoldPromocodeV1) -> Vec<HoldPromocodeV1> {
    let mut said = billing.said::<HoldPromocodeV1>().await;
    said.retain(|hold| hold.purchase_id == first.purchase_id);
    said
}

#[tokio::test]
async fn a_purchase_without_an_answer_is_asked_about_again_and_paid_once() {
    for database in DATABASES {
        let billing = Billing::configured(database, |config| {
            config.billing.ask_again_milliseconds = 100;
        })
        .await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let again = eventually("loyalty is asked again", || async {
            let again = asked(&billing, &hold).await;
            (again.len() >= 3).then_some(again)
        })
        .await;
        for repeat in &again {
            // From where the purchase was asked is kept nowhere: a guess is counted with the first command.
            let client_bucket = repeat.client_bucket.and(hold.client_bucket);
            let first = HoldPromocodeV1 {
                client_bucket,
                ..hold.clone()
            };
            assert_eq!(repeat, &first, "it is asked the same");
        }
        // Each of them may be answered.
        for _ in 0..3 {
            billing.service.peers.say(&held(&hold, 1_000)).await;
        }
        answer.await.unwrap().expect(201);
        assert_eq!(customer.balance().await, 91_000);
        let asked_until_paid = asked(&billing, &hold).await.len();
        billing
            .service
            .peers
            .hears::<PurchasePaidV1>(LOYALTY, |_| true)
            .await;
        // Twice as long as the pause: a purchase that has ended is not asked about.
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        assert!(asked(&billing, &hold).await.len() <= asked_until_paid + 1);
        billing.finish().await;
    }
}

#[tokio::test]
async fn what_is_answered_in_time_is_asked_once() {
    for database in DATABASES {
        let billing = Billing::configured(database, |config| {
            config.billing.ask_again_milliseconds = 10_000;
        })
        .await;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(10_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        billing.service.peers.say(&held(&hold, 1_000)).await;
        answer.await.unwrap().expect(201);
        assert_eq!(asked(&billing, &hold).await.len(), 1);
        billing.finish().await;
    }
}

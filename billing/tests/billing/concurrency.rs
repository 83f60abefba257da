//! Many at once.

use serde_json::json;
use shared::contracts::{PromocodeRefusedV1, PurchasePaidV1};

use crate::{Billing, DATABASES, LOYALTY, held};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_purchases_at_once_from_a_wallet_that_covers_ten_are_exactly_ten() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_900).await;
        let tariff = billing.tariff(1_000).await;
        let answers = futures::future::join_all((0..50).map(|_| customer.buy(tariff))).await;
        let count = |status: u16| {
            answers
                .iter()
                .filter(|answer| answer.status.as_u16() == status)
                .count()
        };
        assert_eq!((count(201), count(402)), (10, 40), "{answers:#?}");
        assert_eq!(customer.balance().await, 900);
        // Each found what the one before left.
        let transfers = customer.items("transfers").await;
        let mut left: Vec<_> = transfers
            .iter()
            .map(|transfer| transfer["balance_after"]["amount"].as_i64().unwrap())
            .collect();
        left.sort_unstable();
        let expected: Vec<_> = (0..=10).map(|paid| 900 + paid * 1_000).collect();
        assert_eq!(left, expected);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_ups_withdrawals_purchases_and_held_promocodes_at_once_lose_no_kopeck() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(20_000).await;
        let tariff = billing.tariff(1_000).await;
        let mut holds = Vec::new();
        for _ in 0..10 {
            holds.push(held(&billing.begin(&customer, tariff).await.1, 100));
        }
        let (ups, downs, buys, _) = tokio::join!(
            futures::future::join_all((0..20).map(|_| customer.top_up(300))),
            futures::future::join_all((0..20).map(|_| customer.withdraw(700))),
            futures::future::join_all((0..20).map(|_| customer.buy(tariff))),
            futures::future::join_all(holds.chunks(3).map(|some| {
                let envelopes = peers.seal_all(some);
                async move { peers.deliver(&envelopes).await }
            })),
        );
        let good = |answers: &[shared::testing::Answer]| {
            assert!(
                answers
                    .iter()
                    .all(|answer| [200, 201, 402].contains(&answer.status.as_u16())),
                "{answers:#?}"
            );
            i64::try_from(answers.iter().filter(|answer| answer.status.is_success()).count()).unwrap()
        };
        let mut expected = 20_000 + 300 * good(&ups) - 700 * good(&downs) - 1_000 * good(&buys);
        for held in &holds {
            let shown = customer.purchase(held.purchase_id).await;
            assert_ne!(shown["status"], "pending");
            expected -= if shown["status"] == "paid" { 900 } else { 0 };
        }
        assert_eq!(good(&ups), 20);
        assert_eq!(customer.balance().await, expected);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_and_a_cancellation_at_once_end_a_purchase_one_way() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        let mut paid = 0;
        for _ in 0..20 {
            let (_, hold) = billing.begin(&customer, tariff).await;
            let cancel = format!("/billing/v1/purchases/{}/cancel", hold.purchase_id);
            let (message, body) = (held(&hold, 0), json!({}));
            let (_, answer) = tokio::join!(peers.say(&message), customer.api.post(&cancel, &body));
            let shown = customer.purchase(hold.purchase_id).await;
            if shown["status"] == "paid" {
                answer.expect_problem(409, "purchase_not_pending");
                paid += 1;
            } else {
                assert_eq!(answer.expect(200)["failure_reason"], "cancelled");
            }
        }
        assert_eq!(customer.balance().await, 100_000 - paid * 1_000);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_use_by_many_requests_at_once_opens_one_wallet() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer();
        let (answers, ()) = tokio::join!(
            futures::future::join_all((0..20).map(|_| customer.top_up(100))),
            billing.register(&customer),
        );
        for answer in answers {
            answer.expect(200);
        }
        billing.register(&customer).await;
        assert_eq!(customer.balance().await, 2_000);
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_get_the_same_answer_charge_once() {
    // Another process on the same database: its own bus, so both get every message.
    let url = shared::testing::new_postgres_database().await;
    let configure = |config: &mut shared::config::Config| {
        config.billing.database_url = Some(secrecy::SecretString::from(url.clone()));
    };
    let one = Billing::configured(shared::testing::TestDatabase::Sqlite, configure).await;
    let two = Billing::configured(shared::testing::TestDatabase::Sqlite, configure).await;
    let customer = one.customer_with(100_000).await;
    let tariff = one.tariff(1_000).await;
    let mut batch = Vec::new();
    for _ in 0..20 {
        batch.push(held(&one.begin(&customer, tariff).await.1, 0));
    }
    // The same content under other ids, in other orders.
    let ones = one.service.peers.seal_all(&batch);
    batch.reverse();
    let twos = two.service.peers.seal_all(&batch);
    tokio::join!(one.service.peers.deliver(&ones), two.service.peers.deliver(&twos));
    assert_eq!(customer.balance().await, 80_000);
    let said = one.service.peers.heard::<PurchasePaidV1>(LOYALTY).len()
        + two.service.peers.heard::<PurchasePaidV1>(LOYALTY).len();
    assert!(said <= 20, "{said}");
    two.finish().await;
    one.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_another_replica_wrote_answers_the_request_that_waits() {
    let url = shared::testing::new_postgres_database().await;
    let configure = |config: &mut shared::config::Config| {
        config.billing.database_url = Some(secrecy::SecretString::from(url.clone()));
    };
    let one = Billing::configured(shared::testing::TestDatabase::Sqlite, configure).await;
    let two = Billing::configured(shared::testing::TestDatabase::Sqlite, configure).await;
    let customer = one.customer_with(10_000).await;
    let tariff = one.tariff(1_000).await;
    let (answer, hold) = one.begin(&customer, tariff).await;
    // Nothing wakes the first replica: their buses are two.
    two.service.peers.say(&held(&hold, 0)).await;
    answer.await.unwrap().expect(201);
    two.finish().await;
    one.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_leave_nothing_half_done() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(1_000_000).await;
        let tariff = billing.tariff(1_000).await;
        let hang_ups = (0..180_u64).map(|round| {
            let customer = &customer;
            async move {
                // Dropped at every point between sending the request and reading the answer.
                let pause = std::time::Duration::from_millis(round % 60);
                let _ = tokio::time::timeout(pause, customer.buy(tariff)).await;
            }
        });
        futures::future::join_all(hang_ups).await;
        // What was begun goes on by itself; then everything fits together.
        shared::testing::eventually("all purchases have been charged", || async {
            let paid = customer.items("purchases?limit=200").await.len();
            let left = 1_000_000 - 1_000 * i64::try_from(paid).unwrap();
            (paid > 0 && customer.balance().await == left).then_some(())
        })
        .await;
        billing.finish().await;
    }
}

/// The inbox applies a batch kind by kind, so it locks the second purchase after the wallet; the
/// cancellation locks them the other way round. Who is ended by the database runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_two_kinds_and_a_cancellation_at_once_all_come_to_their_end() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let peers = &billing.service.peers;
        let customer = billing.customer_with(100_000).await;
        let tariff = billing.tariff(1_000).await;
        for _ in 0..10 {
            let (_, kept) = billing.begin(&customer, tariff).await;
            let (_, given_up) = billing.begin(&customer, tariff).await;
            let refused = PromocodeRefusedV1 {
                purchase_id: given_up.purchase_id,
                user_id: customer.id,
                reasons: Vec::new(),
            };
            let batch = [peers.seal_all(&[held(&kept, 0)]), peers.seal_all(&[refused])].concat();
            let cancel = format!("/billing/v1/purchases/{}/cancel", given_up.purchase_id);
            let body = json!({});
            let (_, answer) = tokio::join!(peers.deliver(&batch), customer.api.post(&cancel, &body));
            assert!([200, 409].contains(&answer.status.as_u16()), "{:#}", answer.body);
            let ended = [
                customer.purchase(kept.purchase_id).await["status"].clone(),
                customer.purchase(given_up.purchase_id).await["status"].clone(),
            ];
            assert_eq!(ended, ["paid", "failed"]);
        }
        assert_eq!(customer.balance().await, 90_000);
        billing.finish().await;
    }
}

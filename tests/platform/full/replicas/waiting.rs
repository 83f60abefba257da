//! Requests that wait get their outcome whichever replica brings it about.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use billing::app::{books::Books, cancel_purchase::cancel_purchase};
use serde_json::json;
use shared::{
    config::Config,
    contracts::{Message as _, PromocodeHeldV1, ServiceName},
    ids::{PurchaseId, UserId},
    testing::{Api, eventually},
};

use super::{Logs, buyers, half, promocode_for_all, start};

/// How often who waits also looks by itself.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// How long purchases took, by the replica that charged them.
type Taken = HashMap<usize, Vec<Duration>>;

/// Buys through one replica only, one purchase after another.
async fn buy_through(api: &Api, tariff: &str, count: usize) -> Vec<(String, Duration)> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let body = json!({"tariff_id": tariff, "promocode": "ALL"});
        let began = Instant::now();
        let bought = api.post("/billing/v1/purchases", &body).await.expect(201);
        taken.push((bought["id"].as_str().unwrap().to_owned(), began.elapsed()));
        assert_eq!(bought["charged"], half(10_000));
    }
    taken
}

fn by_replica(logs: &Logs, taken: &[(String, Duration)]) -> Taken {
    let charged: HashMap<_, _> = logs
        .applied_of(ServiceName::Billing, PromocodeHeldV1::TYPE)
        .into_iter()
        .map(|applied| (applied.subject, applied.replica))
        .collect();
    let mut by_replica = Taken::new();
    for (id, duration) in taken {
        // A line may still be on its way into the log.
        if let Some(replica) = charged.get(id) {
            by_replica.entry(*replica).or_default().push(*duration);
        }
    }
    by_replica
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

/// Who is not woken finds the outcome a tenth of a second after the request began, at the soonest.
/// So those that come sooner, though the other replica has charged them, were woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_of_the_other_replica_wakes_the_request_that_waits() {
    let mut platform = start().await;
    let logs = Logs::of(&mut platform);
    let tariff = platform.tariff("Month", 10_000).await;
    promocode_for_all(&platform).await;
    let buyer = &buyers(&platform, 1).await[0];
    let first = platform.cluster().processes(ServiceName::Billing)[0].address();
    let api = buyer.api.at(format!("http://{first}"));

    let mut taken = Vec::new();
    // On a machine that is busy with other things some purchases take longer than that anyway.
    for _ in 0..10 {
        taken.extend(buy_through(&api, &tariff, 30).await);
        let by_replica = by_replica(&logs, &taken);
        let woken = |replica| {
            let durations = by_replica.get(&replica).map_or(&[][..], Vec::as_slice);
            durations.iter().filter(|taken| **taken < LOOKS_EVERY).count()
        };
        if woken(1) >= 5 && woken(2) >= 5 {
            for (replica, mut durations) in by_replica {
                println!(
                    "charged by replica {replica}, asked for at 1: {} purchases, median {:?}",
                    durations.len(),
                    median(&mut durations)
                );
            }
            platform.finish().await;
            return;
        }
    }
    panic!("nobody is woken: {:?}", by_replica(&logs, &taken));
}

/// Whoever brings the outcome about here says nothing of it for a second, as if the wake-up were
/// lost; the request has looked by itself long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_without_a_wake_up_is_found_all_the_same() {
    let mut platform = start().await;
    let tariff = platform.tariff("Month", 10_000).await;
    promocode_for_all(&platform).await;
    let buyer = &buyers(&platform, 1).await[0];
    // Nobody answers the hold.
    for process in platform.cluster().processes(ServiceName::Loyalty) {
        process.kill().await.unwrap();
    }
    let db = platform.database(ServiceName::Billing).await;
    let currency = Config::default().currency;
    let books = &db
        .write(|tx| async move { Books::open(tx.conn(), currency, [], tx.now()).await })
        .await
        .unwrap();
    let buyer_id: UserId = buyer.id.parse().unwrap();
    let mut taken = Vec::new();
    for _ in 0..10 {
        let body = json!({"tariff_id": tariff, "promocode": "ALL"});
        let api = buyer.api.clone();
        let request = tokio::spawn(async move { api.post("/billing/v1/purchases", &body).await });
        let id = pending(&buyer.api).await;
        let cancelled = Instant::now();
        db.write(|tx| async move { cancel_purchase(&tx, books, buyer_id, id).await })
            .await
            .unwrap();
        let answer = request.await.unwrap();
        taken.push(cancelled.elapsed());
        answer.expect_problem(409, "purchase_cancelled");
    }
    let (longest, median) = (*taken.iter().max().unwrap(), median(&mut taken));
    println!("found without a wake-up after {median:?} (median), {longest:?} (longest)");
    assert!(median < Duration::from_millis(700), "{taken:?}");
    for process in platform.cluster().processes(ServiceName::Loyalty) {
        process.start_again().await.unwrap();
    }
    platform.finish().await;
}

/// The purchase that waits.
async fn pending(api: &Api) -> PurchaseId {
    let id = eventually("the purchase waits", || async {
        let page = api.get("/billing/v1/purchases?limit=1").await.expect(200);
        let newest = &page["items"][0];
        (newest["status"] == "pending").then(|| newest["id"].as_str().unwrap().to_owned())
    })
    .await;
    id.parse().unwrap()
}

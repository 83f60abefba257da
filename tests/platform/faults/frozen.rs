//! A replica of loyalty hangs: its connections stay, and nothing is answered on them.

use std::time::{Duration, Instant};

use reqwest::Method;
use shared::contracts::ServiceName;
use tokio::{task::JoinSet, time::sleep};

use super::{
    SOON,
    arena::{Arena, OPEN},
    stream::{Stream, Wish, body_of},
};

/// The time between two purchases.
const BETWEEN: Duration = Duration::from_millis(45);
/// Of a hundred purchases with a promocode, at most so many may be answered by 202 in place of the
/// outcome, on a machine that does nothing else. It was more than half.
const MOST_PENDING: usize = 10;
/// The same while other tests and buyers keep the machine busy.
const MOST_PENDING_WHEN_BUSY: usize = 30;

/// Purchases, one after the other, while one replica hangs for `long`: nearly all of those with a promocode
/// are answered by their outcome, and all are paid once. `round` tells their keys from those of others.
///
/// A third are without a promocode. Each of these is one message to loyalty, and each of the others two: the
/// broker gives its messages to the replicas in turn, and would else give all holds to the same one.
pub async fn hangs(arena: &mut Arena, round: &str, long: Duration, most_pending: usize) {
    arena.processes(ServiceName::Loyalty)[0].freeze().await.unwrap();
    let answers = buy_for(arena, round, long).await;
    let process = &mut arena.processes(ServiceName::Loyalty)[0];
    process.kill().await.unwrap();
    process.start_again().await.unwrap();
    process.ready().await.unwrap();

    let with_promocode = || answers.iter().filter(|(wish, _)| wish.promocode.is_some());
    let count = |status: u16| with_promocode().filter(|(_, found)| *found == status).count();
    let (all, paid, pending) = (with_promocode().count(), count(201), count(202));
    eprintln!(
        "loyalty hangs for {long:?}: of {all} purchases with a promocode {paid} answered 201, {pending} 202"
    );
    assert_eq!(paid + pending, all, "nothing fails: {answers:?}");
    assert!(
        pending * 100 <= all * most_pending,
        "{pending} of {all} answered 202"
    );
    // The client asks again with the same key.
    for (wish, status) in answers {
        let intent = arena.buy(wish).await;
        // The deadline is short here: what the broker has not taken back by then fails.
        let is_late = status == 202 && intent.is_timed_out();
        assert!(intent.is_paid() || is_late, "{status}: {intent:?}");
        arena.intents.push(intent);
    }
}

async fn buy_for(arena: &Arena, round: &str, long: Duration) -> Vec<(Wish, u16)> {
    let (frozen, mut number, mut asked) = (Instant::now(), 0, JoinSet::new());
    while frozen.elapsed() < long {
        // One of those with plenty.
        let buyer = number % 4;
        let api = arena.buyers[buyer].user.api.clone();
        let wish = Wish {
            buyer,
            key: format!("{round}-{number}"),
            promocode: (number % 3 > 0).then(|| OPEN.to_owned()),
        };
        let body = body_of(&arena.tariff, &wish);
        asked.spawn(async move {
            let request = api.request(Method::POST, "/billing/v1/purchases");
            let answer = request
                .header("idempotency-key", &wish.key)
                .json(&body)
                .send()
                .await;
            (wish, answer.unwrap().status().as_u16())
        });
        number += 1;
        sleep(BETWEEN).await;
    }
    asked.join_all().await
}

/// The same beside others who buy.
pub async fn hangs_shortly(arena: &mut Arena, stream: &Stream) {
    hangs(arena, "hangs", Duration::from_secs(5), MOST_PENDING_WHEN_BUSY).await;
    stream
        .recovers("a replica of loyalty that hung", Instant::now(), SOON)
        .await;
}

mod full {
    use super::*;
    use crate::faults::arena::Behind;

    /// Longer than the broker needs to notice.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replica_that_hangs_keeps_few_purchases_from_their_outcome() {
        let mut arena = Arena::start(Behind::Nothing).await;
        hangs(&mut arena, "alone", Duration::from_secs(18), MOST_PENDING).await;
        let stream = arena.stream().await;
        stream
            .recovers("a replica of loyalty that hung", Instant::now(), SOON)
            .await;
        arena.end_whole(stream).await;
        arena.close().await;
    }
}

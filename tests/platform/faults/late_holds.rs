//! A hold comes after its purchase has failed.

use std::{collections::BTreeSet, time::Instant};

use shared::contracts::ServiceName;

use super::{
    SOON,
    arena::{Arena, Behind},
    stream::Stream,
};

/// Holds that come too late, at least.
const LATE: usize = 3;

/// One replica has holds in hand and is suspended until their purchases have failed, and the other
/// one has heard of that; then it dies, and the holds come. The purchases whose hold comes late.
pub async fn come(arena: &mut Arena, stream: &Stream) -> BTreeSet<String> {
    // Else the other replica is asked, and nothing is late.
    ask_again_after(arena, "0").await;
    let frozen = Instant::now();
    arena.processes(ServiceName::Loyalty)[0].freeze().await.unwrap();
    stream.waits_for_somebody_stuck(frozen, 4).await;
    let late = cancelled_while_held_up(arena).await;
    let replica = &mut arena.processes(ServiceName::Loyalty)[0];
    replica.kill().await.unwrap();
    replica.start_again().await.unwrap();
    replica.ready().await.unwrap();
    stream
        .recovers("holds that come too late", Instant::now(), SOON)
        .await;
    ask_again_after(arena, "500").await;
    late
}

/// Starts billing again, with another time after which it asks loyalty again.
async fn ask_again_after(arena: &mut Arena, milliseconds: &str) {
    for process in arena.processes(ServiceName::Billing) {
        process.set_variable("KOPECK_BILLING__ASK_AGAIN_MILLISECONDS", milliseconds);
        process.kill().await.unwrap();
        process.start_again().await.unwrap();
        process.ready().await.unwrap();
    }
}

/// After everything has come to rest.
pub async fn took_no_use(arena: &Arena, late: &BTreeSet<String>) {
    let without_use = purchases(arena, ServiceName::Loyalty, CANCELLED_WITHOUT_USE).await;
    let with_use: Vec<_> = late.difference(&without_use).collect();
    assert!(with_use.is_empty(), "a late hold took a use for {with_use:?}");
}

const TIMED_OUT: &str = "SELECT id::text AS id FROM purchases WHERE failure_reason = 'timed_out'";
const CANCELLED_WITHOUT_USE: &str =
    "SELECT purchase_id::text AS id FROM redemptions WHERE status = 'cancelled' AND final_price IS NULL";

async fn purchases(arena: &Arena, service: ServiceName, sql: &str) -> BTreeSet<String> {
    let rows = arena.books.rows(service, sql).await;
    rows.iter().map(|row| row.try_get("", "id").unwrap()).collect()
}

/// Purchases that have failed at their deadline and whose failure the other replica keeps, though no
/// hold has come: that is what the late hold will find.
async fn cancelled_while_held_up(arena: &Arena) -> BTreeSet<String> {
    shared::testing::eventually(
        "loyalty keeps that purchases failed before their hold",
        || async {
            let failed = purchases(arena, ServiceName::Billing, TIMED_OUT).await;
            let kept = purchases(arena, ServiceName::Loyalty, CANCELLED_WITHOUT_USE).await;
            let late: BTreeSet<_> = failed.intersection(&kept).cloned().collect();
            (late.len() >= LATE).then_some(late)
        },
    )
    .await
}

mod full {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hold_that_comes_after_its_purchase_failed_takes_no_use() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        let late = come(&mut arena, &stream).await;
        arena.end_whole(stream).await;
        took_no_use(&arena, &late).await;
        arena.close().await;
    }
}

//! Each kind of fault once, one after another, to one platform on which people buy all the time.

use shared::contracts::ServiceName;

use super::{
    arena::{Arena, Behind},
    broker, cache, clocks, consumers, database, frozen, hang_ups, late_holds, network, poison, services,
    topology,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whatever_fails_once() {
    let mut arena = Arena::start(Behind::BrokerAndDatabase).await;
    let stream = arena.stream().await;
    let (broker_wire, database_wire) = (arena.broker_wire.take(), arena.database_wire.take());

    topology::bindings_vanish(&mut arena, &stream, 1).await;
    topology::shared_ways_vanish(&mut arena, &stream).await;
    hang_ups::happen(&mut arena, &stream, 2 * hang_ups::AT_ONCE).await;
    cache::hangs_and_is_killed(&arena, &stream).await;
    services::one_is_killed(&mut arena, &stream, ServiceName::Billing, 0).await;
    services::both_are_killed(&mut arena, &stream, ServiceName::Notifications).await;
    consumers::crashes(&mut arena, &stream).await;
    frozen::hangs_shortly(&mut arena, &stream).await;
    clocks::are_off(&mut arena, &stream, 30).await;
    let late = late_holds::come(&mut arena, &stream).await;
    database::restarts_at_once(&arena, &stream, 1).await;
    network::breaks_shortly(database_wire.as_ref().unwrap(), &stream, "the databases").await;
    network::breaks_shortly(broker_wire.as_ref().unwrap(), &stream, "the broker").await;
    broker::is_killed(&arena, &stream, 1).await;
    poison::lies_between(&mut arena, &stream, 1).await;

    arena.end_whole(stream).await;
    late_holds::took_no_use(&arena, &late).await;
    arena.close().await;
}

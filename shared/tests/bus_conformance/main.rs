//! What every bus must keep, run against both; then what only one of them can be asked.
//!
//! The tests of the RabbitMQ bus need a broker: `./test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod embedded;
mod promises;
mod rabbit;
mod rabbit_outages;

/// Every promise as a test of each bus.
macro_rules! both_buses_promise {
    ($($promise:ident)*) => {
        mod embedded_bus {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::promises::$promise(shared::bus::connect("embedded:").unwrap()).await;
            })*
        }

        mod rabbit_bus {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::broker::with_vhost(async |vhost| {
                    crate::promises::$promise(vhost.bus()).await;
                })
                .await;
            })*
        }
    };
}

both_buses_promise! {
    a_message_reaches_each_queue_that_takes_it_once_and_no_other
    a_confirmed_message_is_never_missed_by_a_subscriber
    an_unacknowledged_batch_comes_again
    a_newer_batch_does_not_acknowledge_an_older_one
    a_batch_is_what_is_there_and_no_more_than_it_may_be
    a_waiting_consumer_is_woken
    consumers_of_one_queue_share_its_messages
    each_message_of_a_batch_has_its_result
    a_message_that_nobody_takes_is_fine
    a_listener_says_when_it_listens
    every_listener_hears_for_itself
    a_listener_hears_only_what_it_listens_to
    a_cancelled_publish_disturbs_nobody
    a_thousand_concurrent_messages_all_arrive
}

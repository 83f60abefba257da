//! What every cache must keep, run against both; then what only Redis can be asked.
//!
//! The tests of the Redis cache need a server: `./test` starts one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod promises;
mod redis;
mod redis_outages;

/// Every promise as a test of each cache.
macro_rules! both_caches_promise {
    ($($promise:ident)*) => {
        mod embedded_cache {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let make = |life| std::sync::Arc::new(shared::cache::embedded::EmbeddedCache::new(life)) as _;
                crate::promises::$promise(&make).await;
            })*
        }

        mod redis_cache {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::promises::$promise(&crate::redis::cache).await;
            })*
        }
    };
}

both_caches_promise! {
    what_is_put_is_there_and_nothing_else
    several_keys_are_answered_in_their_order
    a_newer_version_replaces_an_older_one_and_not_the_other_way_round
    what_is_forgotten_is_gone_and_only_what_is_not_older_is_taken
    forgetting_an_older_version_changes_nothing
    several_keys_are_forgotten_at_once
    a_reader_that_began_before_a_change_cannot_put_the_old_value_back
    concurrent_readers_never_leave_an_old_value_behind
    an_entry_dies
    what_was_looked_for_long_ago_is_not_taken
    a_dead_entry_still_keeps_older_ones_out
    any_bytes_can_be_kept
}

//! The whole platform, as processes, over HTTP: in one process on embedded parts, and as one
//! process a service on PostgreSQL and RabbitMQ.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod architecture;
mod bench;
mod blocked;
mod broker;
mod cached;
mod classic;
mod command_line;
mod contracts;
mod crowd;
mod deploy;
mod described;
mod erasure;
mod faults;
mod mail;
mod observed;
mod parked;
mod platform;
mod processes;
mod promocodes;
mod readme;
mod refunds;
mod replay;
mod replicas;
mod rights;
mod sessions;
mod traces;
mod upgrade;

/// Runs each story against a fresh platform in both modes.
macro_rules! in_both_modes {
    ($($story:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    let platform = $crate::platform::Platform::embedded().await;
                    super::$story(&platform).await;
                    platform.finish().await;
                }
            )*
        }

        mod distributed {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    let platform = $crate::platform::Platform::distributed().await;
                    super::$story(&platform).await;
                    platform.finish().await;
                }
            )*
        }
    };
}
pub(crate) use in_both_modes;

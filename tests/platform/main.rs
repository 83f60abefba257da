//! The whole platform, as processes, over HTTP: in one process on embedded parts, and as one
//! process a service on PostgreSQL and RabbitMQ.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod architecture;
mod blocked;
mod broker;
mod cached;
mod classic;
mod command_line;
mod contended;
mod contracts;
mod crowd;
mod deploy;
mod described;
mod erasure;
mod faults;
mod full;
mod limits;
mod mail;
mod memory;
mod observed;
mod parked;
mod platform;
mod processes;
mod promocodes;
mod readme;
mod refunds;
mod repair;
mod replay;
mod rights;
mod sessions;
mod shared_platform;
mod traces;
mod upgrade;

/// Runs each story in both modes, against a platform of its own.
macro_rules! in_both_modes {
    ($($story:ident),* $(,)?) => {
        mod embedded {
            $crate::on_platforms!($crate::platform::Platform::embedded(); $($story),*);
        }
        mod distributed {
            $crate::on_platforms!($crate::platform::Platform::distributed(); $($story),*);
        }
    };
}
pub(crate) use in_both_modes;

/// Runs each story in both modes, against the platform that stories share: for those that don't mind what
/// others do on it, and change nothing for them.
macro_rules! on_shared_platforms {
    ($($story:ident),* $(,)?) => {
        mod embedded {
            use $crate::{platform::Platform, shared_platform::Mode};
            $crate::on_platforms!(Platform::shared(Mode::Embedded); $($story),*);
        }
        mod distributed {
            use $crate::{platform::Platform, shared_platform::Mode};
            $crate::on_platforms!(Platform::shared(Mode::Distributed); $($story),*);
        }
    };
}
pub(crate) use on_shared_platforms;

/// Runs each story of the parent module against such a platform.
macro_rules! on_platforms {
    ($platform:expr; $($story:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let platform = $platform.await;
                super::$story(&platform).await;
                platform.finish().await;
            }
        )*
    };
}
pub(crate) use on_platforms;

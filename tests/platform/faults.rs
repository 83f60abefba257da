//! Faults under load: two replicas of everything as real processes, on servers of their own, with
//! people who buy before, during and after the fault. Then nothing may be lost, doubled or stuck.
//!
//! [`short`] has each kind of fault happen once, one after another to one platform. The module `full` of
//! each kind belongs to the full tier (`./test full`): the same at length, each kind on a platform of its
//! own. Each of those has the machine to itself: under `cargo nextest` by its test group, else by the
//! [`arena`]'s lock.

mod arena;
mod broker;
mod cache;
mod clocks;
mod consumers;
mod database;
mod frozen;
mod hang_ups;
mod late_holds;
mod network;
mod outage;
mod poison;
mod proxy;
mod services;
mod short;
mod stream;
mod topology;
mod whole;

use std::time::Duration;

/// After how many seconds a purchase without an answer fails. Short, so that a stuck one shows; long
/// enough for what a busy machine recovers from in time.
const DEADLINE_SECONDS: u64 = 5;

/// In what time purchases must be paid again. Generous: it is there to see a regression by seconds,
/// not a busy machine.
const SOON: Duration = Duration::from_secs(15);
/// The same where connections have to be found dead first.
const LATER: Duration = Duration::from_secs(40);

//! The outbox: what was said and is not yet safe on the bus.
//!
//! Rows are written by the transaction that says them and handed to the [`Relay`] in memory
//! after its commit. What a process left behind is found again by the poller of any replica:
//! rows a second old that nobody holds a lease on. A row goes only when the bus has
//! confirmed it, so a message may travel twice, and never not at all.

mod backlog;
mod relay;
mod store;

pub use backlog::{Backlog, MOST_COUNTED, backlog};
pub use relay::Relay;
pub(crate) use store::insert;
pub use store::{count, entity};

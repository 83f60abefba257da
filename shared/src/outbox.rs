//! The outbox: what was said and has not yet arrived everywhere.
//!
//! Rows are written by the transaction that says them and handed to the [`Relay`] in memory
//! after its commit. What a process left behind is found again by the poller of any replica:
//! rows a second old that nobody holds a lease on. On the embedded bus a row goes when every
//! subscriber has committed it, as the bus says. A broker only says that it has the message in some
//! queue: then the row stays until each subscriber has answered a roll call. So a message may travel
//! twice, and never not at all.

mod backlog;
mod relay;
mod roll;
mod store;

pub use backlog::{Backlog, MOST_COUNTED, backlog};
pub use relay::Relay;
pub(crate) use store::insert;
pub use store::{count, count_unacknowledged, entity};

//! The inbox: each message is applied exactly once, in batches.
//!
//! One transaction records the ids, runs the handlers and emits what follows; the bus is told
//! after the commit. A batch that fails is taken one by one; a message that fails alone is kept
//! here with its error, tried again with growing pauses, and parked when it keeps failing. A
//! handler that panics has failed, no more. An administrator sees what is parked, and has it tried
//! anew or drops it.
//! Retries live here and nowhere else. While the service's own database is down, nothing is
//! consumed and nothing rejected.

mod attendance;
mod backlog;
mod counts;
mod handlers;
mod parked;
mod receiver;
mod retry;
mod store;

pub use backlog::{Backlog, MOST_COUNTED, backlog};
pub use handlers::{Handle, HandleError, Handlers};
pub use parked::{
    BATCH, Decision, Failed, Which, count_failed, drop_parked, failed, find_failed, parked_ids, replay,
};
pub use receiver::Receiver;
pub use retry::{ForgetInbox, RetryInbox};
pub use store::{Status, entity, parked};

//! The inbox: each message is applied exactly once, in batches.
//!
//! One transaction records the ids, runs the handlers and emits what follows; the bus is told
//! after the commit. A batch that fails is taken one by one; a message that fails alone is kept
//! here with its error, tried again with growing pauses, and parked when it keeps failing. A
//! handler that panics has failed, no more.
//! Retries live here and nowhere else. While the service's own database is down, nothing is
//! consumed and nothing rejected.

mod handlers;
mod receiver;
mod retry;
mod store;

pub use handlers::{Handle, HandleError, Handlers};
pub use receiver::Receiver;
pub use retry::{ForgetInbox, RetryInbox};
pub use store::{Status, entity, parked};

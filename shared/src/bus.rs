//! Between services: a bus that loses nothing that it confirmed.
//!
//! Two implementations, [`embedded`] (one process) and [`rabbit`] (many), pass one conformance
//! suite. Which one is used is decided by the URL, in [`connect`], and nowhere else.

pub mod embedded;
pub mod rabbit;

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;

use crate::{
    config,
    contracts::{Exchange, Queue, WakeUp},
    ids::MessageId,
};

/// Where a message is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// To every queue that subscribes to it.
    Route {
        /// Where it is published.
        exchange: Exchange,
        /// Under which key.
        routing_key: String,
    },
    /// To the one queue of this name. No binding is needed, so none can be missing.
    Queue(Cow<'static, str>),
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The envelope's id.
    pub id: MessageId,
    /// Where it is sent.
    pub to: Address,
    /// The envelope, as JSON.
    pub body: Arc<[u8]>,
}

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The envelope, as JSON; possibly not decodable.
    pub body: Arc<[u8]>,
}

/// Why the bus could not do it now. Everything is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The broker can't be reached, or the connection broke.
    #[error("the message broker is not reachable")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No confirm came in time.
    #[error("the message broker did not confirm in time")]
    TimedOut,
    /// The broker refused the message.
    #[error("the message broker did not take the message: {0}")]
    NotTaken(String),
    /// No queue took a message that must be taken, however often the topology was declared again.
    #[error("the message broker did not take the message: no queue took it")]
    NoQueue,
    /// The URL can't be read. It is not repeated here, since it may hold a password.
    #[error(
        "the URL in `bus.url` can't be read: it must be embedded: or amqp://USER:PASSWORD@HOST/VHOST, with characters like # / ? % @ of the password percent-encoded"
    )]
    InvalidUrl,
    /// The URL is of no bus that there is.
    #[error("`{0}:` is no message bus: use amqp://, amqps:// or embedded:")]
    UnknownScheme(String),
}

/// Which of a queue's two sides to consume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was sent to the queue.
    Main,
    /// What the broker gave up delivering; the embedded bus has none and waits forever.
    Dead,
}

/// What carries messages between services.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Declares the whole topology: exchanges, queues, bindings, dead-letter queues. Safe to repeat.
    async fn declare(&self) -> Result<(), BusError>;

    /// Declares again what may have vanished from the broker while it ran: exchanges and bindings. A
    /// queue that has vanished is declared again by its own consumers only.
    async fn reassert(&self) -> Result<(), BusError> {
        Ok(())
    }

    /// Whether `Ok` from [`Bus::publish`] says only that queues have the message, and not that each
    /// subscriber has committed it. Then it can still be lost, with its queue or for want of a binding,
    /// and the outbox keeps it until a [roll call](crate::contracts::RollCall) has found it everywhere.
    fn needs_roll_calls(&self) -> bool {
        false
    }

    /// Receives what is sent to [`Address::Queue`] of this name, for as long as the listener lives. The
    /// queue is this process's own and goes with its connection.
    async fn mailbox(&self, _name: &str) -> Result<Box<dyn Listener>, BusError> {
        std::future::pending().await
    }

    /// Publishes a batch, and says for each message, in the same order, whether it is safe:
    /// `Ok` means that every queue that subscribes to it has it durably (embedded: that every
    /// subscriber has committed). Bounded in time on a broker.
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>>;

    /// Consumes one side of a queue; replicas share its messages.
    async fn consume(&self, queue: &'static Queue, side: Side) -> Result<Box<dyn Consumer>, BusError>;

    /// Hears what is said while it listens, for itself alone.
    async fn listen(&self, wake_up: &'static WakeUp) -> Result<Box<dyn Listener>, BusError>;

    /// Whether messages can be sent at this moment.
    async fn ready(&self) -> Result<(), BusError>;
}

/// The receiving end of a queue. Reconnects by itself, for as long as it takes.
#[async_trait]
pub trait Consumer: Send {
    /// Waits until something is there, then takes what is there, at most `max`, without
    /// waiting for company.
    async fn next_batch(&mut self, max: usize) -> Delivery;
}

/// A batch that came in. Dropped without [`Delivery::acknowledge`], it comes again.
pub struct Delivery {
    /// The messages, in the order of arrival; never empty.
    pub messages: Vec<Incoming>,
    pub(crate) receipt: Box<dyn Receipt>,
}

impl Delivery {
    /// Tells the bus that the batch is dealt with; call it after the commit. A failure is of no
    /// consequence: the batch comes again, and the inbox knows it.
    pub async fn acknowledge(self) {
        self.receipt.acknowledge().await;
    }
}

/// How a batch is given back to its bus.
#[async_trait]
pub(crate) trait Receipt: Send {
    async fn acknowledge(self: Box<Self>);
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// From now on it hears everything; always the first, if maybe after [`Heard::Deaf`].
    Listening,
    /// From now on it misses what is said, or has just missed something.
    Deaf,
    /// Something was said.
    Message(Incoming),
}

/// The receiving end of a wake-up. Reconnects by itself, and says when it had to.
#[async_trait]
pub trait Listener: Send {
    /// What comes next.
    async fn next(&mut self) -> Heard;
}

/// Whether the bus behind `url` stays within the process.
#[must_use]
pub fn is_embedded(url: &str) -> bool {
    config::scheme_of(url) == Some("embedded")
}

/// The bus behind `url`: `embedded:` within the process, `amqp://` or `amqps://` for RabbitMQ.
///
/// # Errors
/// When the scheme is unknown, or the URL can't be read. A broker that is not there yet is no error: it is waited for.
pub fn connect(url: &str) -> Result<Arc<dyn Bus>, BusError> {
    match config::scheme_of(url) {
        Some("embedded") => Ok(Arc::new(embedded::EmbeddedBus::new())),
        Some("amqp" | "amqps") if !config::is_plain_server_url(url) => Err(BusError::InvalidUrl),
        Some("amqp" | "amqps") => Ok(Arc::new(rabbit::RabbitBus::new(url)?)),
        Some(scheme) => Err(BusError::UnknownScheme(scheme.to_owned())),
        None => Err(BusError::InvalidUrl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_url_that_cannot_be_read_is_repeated() {
        for url in [
            "kopeck_hunter2_and_no_scheme",
            "hunter2://rabbit",
            "amqp://kopeck:hunter2/x@rabbit/kopeck",
            "amqp://kopeck:#hunter2@rabbit/kopeck",
            "",
        ] {
            let error = connect(url).err().unwrap();
            assert!(matches!(error, BusError::InvalidUrl), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

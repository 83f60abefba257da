//! The bus over RabbitMQ: for a platform of several processes.
//!
//! `lapin` appears here and below, nowhere else. Nothing is recovered in place: whatever breaks
//! is dropped and built anew from the one function that declares the topology, since lapin's own
//! recovery replays only what its channel declared and may never return. The outbox and the
//! inbox make that safe: what was not confirmed is said again, what comes twice is known.

mod connection;
mod consumer;
mod listener;
mod outage;
mod publisher;
mod topology;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::timeout;

use self::{
    connection::Line,
    consumer::RabbitConsumer,
    listener::{Own, RabbitListener},
    publisher::Publisher,
};
use super::{Bus, BusError, Consumer, Listener, Outgoing, Side};
use crate::contracts::{Queue, WakeUp};

/// How long [`Bus::ready`] may take.
const READY_BOUND: Duration = Duration::from_secs(2);

/// The bus of a platform that is many processes.
///
/// It holds two connections, so that a broker which slows publishers down does not slow
/// acknowledgements. Both are made when first needed, and closed when the bus and everything
/// that it gave out are dropped.
pub struct RabbitBus {
    publisher: Publisher,
    consuming: Arc<Line>,
}

impl RabbitBus {
    /// A bus on the broker at `url` (`amqp://user:password@host:port/vhost`); connects later.
    ///
    /// # Errors
    /// When the URL can't be read. The error does not repeat it: it holds a password.
    pub fn new(url: &str) -> Result<Self, BusError> {
        Ok(Self {
            publisher: Publisher::new(Line::new(url, "kopeck publishing")?),
            consuming: Line::new(url, "kopeck consuming")?,
        })
    }
}

#[async_trait]
impl Bus for RabbitBus {
    async fn declare(&self) -> Result<(), BusError> {
        self.publisher.declare().await
    }

    async fn reassert(&self) -> Result<(), BusError> {
        self.publisher.reassert().await
    }

    fn needs_roll_calls(&self) -> bool {
        true
    }

    async fn mailbox(&self, name: &str) -> Result<Box<dyn Listener>, BusError> {
        Ok(Box::new(
            RabbitListener::start(Arc::clone(&self.consuming), Own::mailbox(name)).await,
        ))
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), BusError>> {
        self.publisher.publish(batch).await
    }

    async fn consume(&self, queue: &'static Queue, side: Side) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(RabbitConsumer::new(
            Arc::clone(&self.consuming),
            queue,
            side,
        )))
    }

    async fn listen(&self, wake_up: &'static WakeUp) -> Result<Box<dyn Listener>, BusError> {
        Ok(Box::new(
            RabbitListener::start(Arc::clone(&self.consuming), Own::wake_up(wake_up)).await,
        ))
    }

    async fn ready(&self) -> Result<(), BusError> {
        timeout(READY_BOUND, self.publisher.ready())
            .await
            .unwrap_or(Err(BusError::TimedOut))
    }
}

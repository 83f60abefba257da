//! Hearing wake-ups: a queue of one's own that goes when the connection goes.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel,
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    connection::{Line, Link, LinkError},
    consumer::subscribe,
    outage::Outage,
    topology,
};
use crate::{
    bus::{Heard, Incoming, Listener},
    contracts::WakeUp,
};

pub(super) struct RabbitListener {
    line: Arc<Line>,
    wake_up: &'static WakeUp,
    session: Option<Session>,
    /// Whether it listens, as far as it has told.
    told: Option<bool>,
    outage: Outage,
}

/// One subscription; the channel is held to keep it open.
struct Session {
    _channel: Channel,
    frames: lapin::Consumer,
}

impl RabbitListener {
    /// Listens already when it returns, unless the broker is away.
    pub(super) async fn start(line: Arc<Line>, wake_up: &'static WakeUp) -> Self {
        let mut listener = Self {
            line,
            wake_up,
            session: None,
            told: None,
            outage: Outage::none(format!("{} wake-ups", wake_up.service)),
        };
        listener.try_subscribe().await;
        listener
    }

    async fn try_subscribe(&mut self) {
        match self.subscribe().await {
            Ok(session) => {
                self.outage.end();
                self.session = Some(session);
            }
            Err(error) => self.outage.note(&error),
        }
    }

    async fn subscribe(&self) -> Result<Session, LinkError> {
        subscribe(&self.line, async |link| Session::start(link, self.wake_up).await).await
    }
}

impl Session {
    async fn start(link: &Link, wake_up: &WakeUp) -> Result<Self, lapin::Error> {
        let channel = link.channel().await?;
        topology::declare(&channel).await?;
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let queue = channel
            .queue_declare("".into(), options, FieldTable::default())
            .await?;
        let name = queue.name().as_str();
        for binding in wake_up.bindings {
            topology::bind(&channel, name, binding.exchange.as_str(), binding.routing_key).await?;
        }
        let options = BasicConsumeOptions {
            no_ack: true,
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let frames = channel
            .basic_consume(name.into(), "".into(), options, FieldTable::default())
            .await?;
        Ok(Self {
            _channel: channel,
            frames,
        })
    }
}

#[async_trait]
impl Listener for RabbitListener {
    async fn next(&mut self) -> Heard {
        loop {
            let listens = self.session.is_some();
            if self.told.replace(listens) != Some(listens) {
                return if listens { Heard::Listening } else { Heard::Deaf };
            }
            if let Some(session) = &mut self.session {
                match session.frames.next().await {
                    Some(Ok(frame)) => {
                        return Heard::Message(Incoming {
                            body: frame.data.into(),
                        });
                    }
                    Some(Err(error)) => self.outage.note(&error),
                    None => self.outage.note(&"the queue was deleted"),
                }
                self.session = None;
                continue;
            }
            self.outage.pause().await;
            self.try_subscribe().await;
        }
    }
}

//! A queue of the process's own, which goes when the connection goes: for wake-ups, and for answers that
//! are sent to it by its name.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel,
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::{Interval, MissedTickBehavior, timeout};

use super::{
    connection::{CONNECT_BOUND, Line, Link, LinkError},
    consumer::subscribe,
    outage::Outage,
    topology,
};
use crate::{
    bus::{Heard, Incoming, Listener},
    contracts::{Binding, WakeUp},
};

/// How often the bindings are declared again. One that has vanished from the broker tells nobody.
const REASSERT: Duration = Duration::from_secs(10);

/// A queue of the process's own.
pub(super) struct Own {
    /// Empty: the broker chooses it.
    name: String,
    bindings: &'static [Binding],
    what: String,
}

impl Own {
    pub(super) fn wake_up(wake_up: &'static WakeUp) -> Self {
        Self {
            name: String::new(),
            bindings: wake_up.bindings,
            what: format!("{} wake-ups", wake_up.service),
        }
    }

    pub(super) fn mailbox(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            bindings: &[],
            what: name.to_owned(),
        }
    }
}

pub(super) struct RabbitListener {
    line: Arc<Line>,
    own: Own,
    session: Option<Session>,
    /// Whether it listens, as far as it has told.
    told: Option<bool>,
    outage: Outage,
}

/// One subscription; the channel is held to keep it open.
struct Session {
    channel: Channel,
    /// The queue's name.
    name: String,
    frames: lapin::Consumer,
    reassert: Interval,
}

impl RabbitListener {
    /// Listens already when it returns, unless the broker is away.
    pub(super) async fn start(line: Arc<Line>, own: Own) -> Self {
        let mut listener = Self {
            line,
            session: None,
            told: None,
            outage: Outage::none(own.what.clone()),
            own,
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
        subscribe(&self.line, async |link| Session::start(link, &self.own).await).await
    }
}

impl Session {
    async fn start(link: &Link, own: &Own) -> Result<Self, lapin::Error> {
        let channel = link.channel().await?;
        if !own.bindings.is_empty() {
            topology::declare(&channel).await?;
        }
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let queue = channel
            .queue_declare(own.name.as_str().into(), options, FieldTable::default())
            .await?;
        let name = queue.name().as_str();
        bind_all(&channel, name, own.bindings).await?;
        let options = BasicConsumeOptions {
            no_ack: true,
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let frames = channel
            .basic_consume(name.into(), "".into(), options, FieldTable::default())
            .await?;
        let mut reassert = tokio::time::interval(REASSERT);
        reassert.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reassert.reset();
        Ok(Self {
            channel,
            name: name.to_owned(),
            frames,
            reassert,
        })
    }

    /// What comes next, or why nothing comes any more.
    async fn next(&mut self, own: &Own) -> Result<Incoming, String> {
        loop {
            tokio::select! {
                frame = self.frames.next() => {
                    return match frame {
                        Some(Ok(frame)) => Ok(Incoming { body: frame.data.into() }),
                        Some(Err(error)) => Err(error.to_string()),
                        None => Err("the queue was deleted".to_owned()),
                    };
                }
                _ = self.reassert.tick() => {
                    match timeout(CONNECT_BOUND, bind_all(&self.channel, &self.name, own.bindings)).await {
                        Ok(bound) => bound.map_err(|error| error.to_string())?,
                        Err(_) => return Err("the broker did not answer in time".to_owned()),
                    }
                }
            }
        }
    }
}

async fn bind_all(channel: &Channel, queue: &str, bindings: &[Binding]) -> Result<(), lapin::Error> {
    for binding in bindings {
        topology::bind(channel, queue, binding.exchange.as_str(), binding.routing_key).await?;
    }
    Ok(())
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
                match session.next(&self.own).await {
                    Ok(message) => return Heard::Message(message),
                    Err(why) => self.outage.note(&why),
                }
                self.session = None;
                continue;
            }
            self.outage.pause().await;
            self.try_subscribe().await;
        }
    }
}

//! Consuming a queue, for as long as it takes.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use lapin::{
    Channel,
    message::Delivery as Frame,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::time::timeout;

use super::{
    connection::{CONNECT_BOUND, Line, Link, LinkError},
    outage::Outage,
    topology,
};
use crate::{
    bus::{Consumer, Delivery, Incoming, Receipt, Side},
    contracts::Queue,
};

/// How many messages may be under way to a consumer: enough for a full batch, few enough that a
/// consumer which hangs holds up few before the broker gives it no more.
const PREFETCH: u16 = 64;

/// How long handing an acknowledgement to the socket may take.
const ACKNOWLEDGE_BOUND: Duration = Duration::from_secs(5);

pub(super) struct RabbitConsumer {
    line: Arc<Line>,
    queue: &'static Queue,
    name: Cow<'static, str>,
    session: Option<Session>,
    outage: Outage,
}

impl RabbitConsumer {
    pub(super) fn new(line: Arc<Line>, queue: &'static Queue, side: Side) -> Self {
        let name = topology::name(queue, side);
        Self {
            line,
            outage: Outage::none(name.to_string()),
            queue,
            name,
            session: None,
        }
    }

    async fn subscribe(&self) -> Result<Session, LinkError> {
        subscribe(&self.line, async |link| {
            Session::start(link, self.queue, &self.name).await
        })
        .await
    }
}

/// Makes a subscription on the line's connection, within [`CONNECT_BOUND`].
pub(super) async fn subscribe<T>(
    line: &Arc<Line>,
    start: impl AsyncFnOnce(&Link) -> Result<T, lapin::Error>,
) -> Result<T, LinkError> {
    let link = line.link().await?;
    match timeout(CONNECT_BOUND, start(&link)).await {
        Ok(result) => Ok(result?),
        Err(_) => {
            link.mark_broken();
            Err(LinkError::TimedOut)
        }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next_batch(&mut self, max: usize) -> Delivery {
        loop {
            // What a closed channel had fetched ahead comes again on the next.
            if let Some(session) = self.session.as_mut().filter(|session| session.is_alive()) {
                match session.next_batch(max.max(1)).await {
                    Ok(delivery) => return delivery,
                    Err(why) => {
                        self.session = None;
                        self.outage.note(&why);
                        self.outage.pause().await;
                    }
                }
            }
            self.session = None;
            match self.subscribe().await {
                Ok(session) => {
                    self.outage.end();
                    self.session = Some(session);
                }
                Err(error) => {
                    self.outage.note(&error);
                    self.outage.pause().await;
                }
            }
        }
    }
}

/// One subscription on one channel.
struct Session {
    channel: Channel,
    frames: lapin::Consumer,
    /// Why no more frames come: the stream says it once, then is silent for ever.
    ended: Option<String>,
    unsettled: Unsettled,
}

impl Session {
    /// Declares first: the queue may be what was lost.
    async fn start(link: &Link, queue: &Queue, name: &str) -> Result<Self, lapin::Error> {
        let channel = link.channel().await?;
        topology::declare_for(&channel, queue).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let frames = channel
            .basic_consume(name.into(), "".into(), options, FieldTable::default())
            .await?;
        Ok(Self {
            channel,
            frames,
            ended: None,
            unsettled: Unsettled::default(),
        })
    }

    fn is_alive(&self) -> bool {
        self.channel.status().connected()
    }

    /// Waits for the first message, then takes what has already come.
    async fn next_batch(&mut self, max: usize) -> Result<Delivery, String> {
        if let Some(why) = self.ended.take() {
            return Err(why);
        }
        let first = frame(self.frames.next().await)?;
        let mut batch = Batch::new(&self.channel, &self.unsettled, first.delivery_tag);
        let mut messages = Vec::new();
        batch.add(first, &mut messages);
        while messages.len() < max {
            match self.frames.next().now_or_never().map(frame) {
                Some(Ok(frame)) => batch.add(frame, &mut messages),
                Some(Err(why)) => {
                    self.ended = Some(why);
                    break;
                }
                None => break,
            }
        }
        Ok(Delivery {
            messages,
            receipt: Box::new(batch),
        })
    }
}

fn frame(item: Option<Result<Frame, lapin::Error>>) -> Result<Frame, String> {
    match item {
        Some(Ok(frame)) => Ok(frame),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the queue was deleted".to_owned()),
    }
}

/// The first tags of the batches that are neither acknowledged nor given back.
#[derive(Clone, Default)]
struct Unsettled(Arc<Mutex<BTreeSet<u64>>>);

impl Unsettled {
    fn tags(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that was handed out. Dropped unacknowledged it is given back with `nack`, which a
/// broker from 4.3 on does not count toward the delivery limit, as it is nobody's failure
/// (`reject` and a closed channel count). Older brokers count it; so who waits for its own
/// database holds on to a delivery instead of dropping it.
struct Batch {
    /// A tag means nothing on any other; and it stays open until the batch is settled.
    ///
    /// Settled through the channel, not lapin's `Acker`: that one hands its frame to a task, so
    /// that an `ack(multiple)` can overtake the `nack` of an earlier batch, and lose it.
    channel: Channel,
    unsettled: Unsettled,
    first: u64,
    tags: Vec<u64>,
}

impl Batch {
    fn new(channel: &Channel, unsettled: &Unsettled, first: u64) -> Self {
        unsettled.tags().insert(first);
        Self {
            channel: channel.clone(),
            unsettled: unsettled.clone(),
            first,
            tags: Vec::new(),
        }
    }

    fn add(&mut self, frame: Frame, messages: &mut Vec<Incoming>) {
        self.tags.push(frame.delivery_tag);
        messages.push(Incoming {
            body: frame.data.into(),
        });
    }
}

#[async_trait]
impl Receipt for Batch {
    async fn acknowledge(mut self: Box<Self>) {
        // `multiple` reaches back to every earlier tag: only for the oldest batch.
        let multiple = self.unsettled.tags().first() == Some(&self.first);
        let tags = mem::take(&mut self.tags);
        let skipped = if multiple { tags.len().saturating_sub(1) } else { 0 };
        let acknowledging = async {
            for tag in &tags[skipped..] {
                self.channel.basic_ack(*tag, BasicAckOptions { multiple }).await?;
            }
            Ok::<(), lapin::Error>(())
        };
        match timeout(ACKNOWLEDGE_BOUND, acknowledging).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a batch could not be acknowledged and comes again"),
            Err(_) => tracing::debug!("a batch could not be acknowledged in time and comes again"),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        for tag in mem::take(&mut self.tags) {
            // The first poll queues the frame; nothing needs to be waited for.
            let _ = self.channel.basic_nack(tag, options).now_or_never();
        }
        self.unsettled.tags().remove(&self.first);
    }
}

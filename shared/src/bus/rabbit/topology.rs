//! The one place that declares what stands on the broker, all of it from the contracts' table.

use std::borrow::Cow;

use lapin::{
    Channel, ExchangeKind as Kind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use crate::{
    bus::Side,
    contracts::{Exchange, ExchangeKind, QUEUES, Queue},
};

/// Where the broker sends what it gave up delivering; the key is the queue's name.
const DEAD_EXCHANGE: &str = "kopeck.dead";

/// How often a message may come back unacknowledged before it is dead-lettered.
///
/// Failures are counted in the inbox, not here: this is for the message that kills its consumer.
/// A broker before 4.3 also counts each time that a healthy message lay in the prefetch of a
/// consumer that stopped, so the limit is well above what restarts in a row amount to.
const DELIVERY_LIMIT: i64 = 50;

/// A dead-letter queue has nowhere to send its own dead. Left out, the limit would be 20 on 4.x
/// and the message gone; "none" (-1) is refused by 3.x.
const DEAD_DELIVERY_LIMIT: i64 = 1_000_000;

/// The name on the broker of one side of a queue.
pub(super) fn name(queue: &Queue, side: Side) -> Cow<'static, str> {
    match side {
        Side::Main => Cow::Borrowed(queue.name),
        Side::Dead => Cow::Owned(format!("{}.dead", queue.name)),
    }
}

/// Declares every exchange, queue and binding there is, at the start. Safe to repeat.
pub(super) async fn declare(channel: &Channel) -> Result<(), lapin::Error> {
    declare_exchanges(channel).await?;
    for queue in QUEUES {
        declare_both(channel, queue).await?;
    }
    Ok(())
}

/// Declares what `queue` needs, for whoever is about to consume it.
pub(super) async fn declare_for(channel: &Channel, queue: &Queue) -> Result<(), lapin::Error> {
    declare_exchanges(channel).await?;
    declare_both(channel, queue).await
}

/// Puts right what may be missing of the bindings of `queue`, if it and its dead-letter queue are there;
/// [`declare_exchanges`] comes first. A channel that is told of a missing queue is closed, so `channel` is
/// for this alone.
///
/// A queue that is gone is left to its consumers: made again by somebody else before the broker has
/// told them that it is gone, it would keep them subscribed without giving them anything (seen with
/// RabbitMQ 3.10: the message lies with a consumer that never gets it).
pub(super) async fn repair(channel: &Channel, queue: &Queue) -> Result<(), lapin::Error> {
    bind_all(channel, queue).await?;
    bind(channel, &name(queue, Side::Dead), DEAD_EXCHANGE, queue.name).await
}

async fn declare_both(channel: &Channel, queue: &Queue) -> Result<(), lapin::Error> {
    declare_dead_queue(channel, queue).await?;
    declare_queue(channel, queue).await
}

/// Declares every exchange there is.
pub(super) async fn declare_exchanges(channel: &Channel) -> Result<(), lapin::Error> {
    declare_exchange(channel, DEAD_EXCHANGE, Kind::Direct).await?;
    for exchange in Exchange::ALL {
        let kind = match exchange.kind() {
            ExchangeKind::Direct => Kind::Direct,
            ExchangeKind::Topic => Kind::Topic,
        };
        declare_exchange(channel, exchange.as_str(), kind).await?;
    }
    Ok(())
}

async fn declare_exchange(channel: &Channel, name: &str, kind: Kind) -> Result<(), lapin::Error> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
}

async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<(), lapin::Error> {
    let arguments = arguments(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(DEAD_EXCHANGE)),
        ("x-dead-letter-routing-key", text(queue.name)),
        ("x-dead-letter-strategy", text("at-least-once")),
        // Without it the broker falls back to dead-lettering at most once.
        ("x-overflow", text("reject-publish")),
    ]);
    channel
        .queue_declare(queue.name.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    bind_all(channel, queue).await
}

async fn bind_all(channel: &Channel, queue: &Queue) -> Result<(), lapin::Error> {
    for binding in queue.bindings {
        let exchange = binding.exchange.as_str();
        bind(channel, queue.name, exchange, binding.routing_key).await?;
    }
    Ok(())
}

async fn declare_dead_queue(channel: &Channel, queue: &Queue) -> Result<(), lapin::Error> {
    let name = name(queue, Side::Dead);
    let arguments = arguments(&[
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT)),
    ]);
    channel
        .queue_declare(name.as_ref().into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    bind(channel, &name, DEAD_EXCHANGE, queue.name).await
}

/// Binds a queue to an exchange under a key.
pub(super) async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    routing_key: &str,
) -> Result<(), lapin::Error> {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            routing_key.into(),
            options,
            FieldTable::default(),
        )
        .await
}

fn arguments(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

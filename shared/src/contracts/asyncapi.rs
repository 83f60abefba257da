//! Who says what to whom, for programs that are not ours: AsyncAPI 3.0, made from the same types and
//! tables as the topology itself.

use serde_json::{Map, Value, json};

use super::{Exchange, ExchangeKind, MessageSchema, QUEUES, ServiceName, message_schemas, schema::refer};

/// The document.
#[must_use]
pub fn document() -> Value {
    let messages = message_schemas();
    let mut schemas = Map::new();
    for message in &messages {
        for (name, definition) in &message.definitions {
            schemas.insert(name.clone(), definition.clone());
        }
    }
    let by = |entry: fn(&MessageSchema) -> (String, Value)| -> Map<String, Value> {
        messages.iter().map(entry).collect()
    };
    let mut operations = by(send);
    operations.extend(messages.iter().flat_map(receive));
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kopeck",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the services say to each other over RabbitMQ: CloudEvents 1.0 in JSON, delivered \
                at least once and in no order. A repeat keeps its `id`. State is taken only if its \
                `aggregateversion` is newer. A repeat may carry `rollcall`: a subscriber answers it with a JSON object \
                of its `id` and `missing`, the ids of its `messages` that have not arrived, sent to the queue \
                `answer_to` through the default exchange; a subscriber that never answers keeps the publisher's \
                outbox growing. Money is in minor units, instants are UTC in RFC 3339.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": by(channel),
        "operations": operations,
        "components": {
            "messages": by(message),
            "schemas": schemas,
        },
    });
    refer(&mut document, "#/$defs/", "#/components/schemas/");
    document
}

/// One kind of message under its key on its exchange.
fn channel(message: &MessageSchema) -> (String, Value) {
    let exchange = message.exchange;
    let kind = match exchange.kind() {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Topic => "topic",
    };
    let channel = json!({
        "address": message.routing_key,
        "description": message.description,
        "messages": {&message.name: {"$ref": format!("#/components/messages/{}", message.name)}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange.as_str(),
                    "type": kind,
                    "durable": true,
                    "autoDelete": false,
                },
                "bindingVersion": "0.3.0",
            },
        },
    });
    (channel_of(message), channel)
}

fn message(message: &MessageSchema) -> (String, Value) {
    let described = json!({
        "name": message.message_type,
        "title": message.name,
        "summary": message.description,
        "contentType": "application/cloudevents+json",
        "payload": message.envelope,
    });
    (message.name.clone(), described)
}

fn send(message: &MessageSchema) -> (String, Value) {
    let service = message.exchange.publisher();
    let operation = json!({
        "action": "send",
        "summary": format!("{service} says it."),
        "channel": {"$ref": format!("#/channels/{}", channel_of(message))},
        "messages": [message_in_channel(message)],
    });
    (operation_of(service, "sends", message), operation)
}

/// One operation for every queue that takes it.
fn receive(message: &MessageSchema) -> impl Iterator<Item = (String, Value)> {
    QUEUES
        .iter()
        .filter(|queue| {
            queue
                .bindings
                .iter()
                .any(|binding| binding.message_type == message.message_type)
        })
        .map(|queue| {
            let operation = json!({
                "action": "receive",
                "summary": format!("{} takes it from the queue `{}`.", queue.service, queue.name),
                "channel": {"$ref": format!("#/channels/{}", channel_of(message))},
                "messages": [message_in_channel(message)],
            });
            (operation_of(queue.service, "receives", message), operation)
        })
}

fn message_in_channel(message: &MessageSchema) -> Value {
    json!({"$ref": format!("#/channels/{}/messages/{}", channel_of(message), message.name)})
}

fn channel_of(message: &MessageSchema) -> String {
    format!("{}.{}", message.exchange.as_str(), message.routing_key)
}

fn operation_of(service: ServiceName, does: &str, message: &MessageSchema) -> String {
    let what = message.routing_key.replace('.', "_");
    format!("{service}_{does}_{what}")
}

impl Exchange {
    /// Which service publishes there.
    #[must_use]
    pub const fn publisher(self) -> ServiceName {
        match self {
            Self::AuthEvents => ServiceName::Auth,
            // Commands are said by whoever wants something done.
            Self::LoyaltyCommands | Self::BillingEvents => ServiceName::Billing,
            Self::LoyaltyEvents | Self::BillingCommands => ServiceName::Loyalty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::MESSAGES;

    fn resolve<'a>(document: &'a Value, reference: &Value) -> &'a Value {
        let pointer = reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        document.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"))
    }

    #[test]
    fn every_message_has_a_channel_a_speaker_and_whoever_hears_it() {
        let document = document();
        assert_eq!(document["channels"].as_object().unwrap().len(), MESSAGES.len());
        let operations = document["operations"].as_object().unwrap();
        let bindings: usize = QUEUES.iter().map(|queue| queue.bindings.len()).sum();
        assert_eq!(operations.len(), MESSAGES.len() + bindings);
        for (name, operation) in operations {
            let channel = resolve(&document, &operation["channel"]);
            let message = resolve(&document, resolve_message(&document, operation));
            let key = channel["address"].as_str().unwrap().replace('.', "_");
            assert!(name.ends_with(&key), "{name}");
            let data = resolve(&document, &message["payload"]["properties"]["data"]);
            assert!(data.is_object(), "{name}");
        }
    }

    /// Operations refer to messages of their channel, and those to components.
    fn resolve_message<'a>(document: &'a Value, operation: &Value) -> &'a Value {
        resolve(document, &operation["messages"][0])
    }
}

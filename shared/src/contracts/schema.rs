//! What each message looks like, for programs that are not ours: JSON Schema (2020-12), made from the
//! types that we read and write them with.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    CampaignChangedV1, Envelope, Exchange, HoldPromocodeV1, MailRequestedV1, Message, PromocodeGrantedV1,
    PromocodeHeldV1, PromocodeNotHeldV1, PromocodeRefusedV1, PurchaseFailedV1, PurchasePaidV1,
    PurchaseRefundedV1, ReportPurchaseV1, SessionEndedV1, SubscriptionEndingV1, TariffChangedV1,
    TopUpFailedV1, UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserUnblockedV1, UserUpdatedV1,
    WalletCreditedV1, WalletDebitedV1, WithdrawalFailedV1,
};

/// Where utoipa's references lead.
const COMPONENTS: &str = "#/components/schemas/";

/// A message with its envelope, described.
#[derive(Clone, Debug)]
pub struct MessageSchema {
    /// The Rust type: `PurchasePaidV1`.
    pub name: String,
    /// The CloudEvents type.
    pub message_type: &'static str,
    /// Where it is published.
    pub exchange: Exchange,
    /// Under which key.
    pub routing_key: &'static str,
    /// What it says, in a sentence.
    pub description: String,
    /// The envelope with the message in it. References lead to `definitions` by `#/$defs/NAME`.
    pub envelope: Value,
    /// The message, and everything that it and the envelope refer to.
    pub definitions: BTreeMap<String, Value>,
}

impl MessageSchema {
    fn of<M: Message + ToSchema>() -> Self {
        let name = M::name().into_owned();
        let mut definitions = BTreeMap::new();
        let mut referred = Vec::new();
        M::schemas(&mut referred);
        Envelope::schemas(&mut referred);
        for (name, schema) in referred {
            definitions.insert(name, value_of(&schema));
        }
        let message = value_of(&M::schema());
        let description = message["description"].as_str().unwrap_or_default().to_owned();
        definitions.insert(name.clone(), message);
        let mut envelope = value_of(&Envelope::schema());
        if let Some(fields) = envelope["properties"].as_object_mut() {
            constant(fields, "specversion", "1.0");
            constant(fields, "type", M::TYPE);
            constant(fields, "datacontenttype", "application/json");
            constant(
                fields,
                "source",
                &format!("/{}", M::EXCHANGE.publisher().as_str()),
            );
            fields.insert("data".to_owned(), json!({"$ref": format!("#/$defs/{name}")}));
        }
        if let Some(required) = envelope["required"].as_array_mut()
            && !required.contains(&json!("data"))
        {
            required.push(json!("data"));
        }
        Self {
            name,
            message_type: M::TYPE,
            exchange: M::EXCHANGE,
            routing_key: M::ROUTING_KEY,
            description,
            envelope,
            definitions,
        }
    }

    /// One document that needs no other.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut document = self.envelope.clone();
        if let Some(root) = document.as_object_mut() {
            root.insert(
                "$schema".to_owned(),
                json!("https://json-schema.org/draft/2020-12/schema"),
            );
            root.insert(
                "$id".to_owned(),
                json!(format!("urn:kopeck:message:{}", self.message_type)),
            );
            root.insert("title".to_owned(), json!(self.name));
            root.insert("description".to_owned(), json!(self.description));
            root.insert("$defs".to_owned(), json!(self.definitions));
        }
        document
    }
}

/// `value`, and nothing else, under what the field means.
fn constant(fields: &mut Map<String, Value>, field: &str, value: &str) {
    let description = fields
        .get(field)
        .and_then(|field| field.get("description"))
        .cloned();
    let mut constant = json!({"type": "string", "const": value});
    if let Some(description) = description {
        constant["description"] = description;
    }
    fields.insert(field.to_owned(), constant);
}

fn value_of(schema: &RefOr<Schema>) -> Value {
    // A schema is made of strings and numbers: there is nothing that JSON could not say.
    let mut value = serde_json::to_value(schema).unwrap_or_default();
    refer(&mut value, COMPONENTS, "#/$defs/");
    value
}

/// Makes every reference that leads to `from` lead to `to`.
pub(super) fn refer(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(target) if name == "$ref" => {
                        if let Some(rest) = target.strip_prefix(from) {
                            *target = format!("{to}{rest}");
                        }
                    }
                    other => refer(other, from, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, from, to)),
        _ => {}
    }
}

macro_rules! schemas {
    ($($message:ident),* $(,)?) => {
        /// Every message there is, described, in the order of [`MESSAGES`](super::MESSAGES).
        #[must_use]
        pub fn message_schemas() -> Vec<MessageSchema> {
            vec![$(MessageSchema::of::<$message>()),*]
        }
    };
}

schemas!(
    UserRegisteredV1,
    UserUpdatedV1,
    UserBlockedV1,
    UserUnblockedV1,
    UserDeletedV1,
    SessionEndedV1,
    MailRequestedV1,
    HoldPromocodeV1,
    PromocodeGrantedV1,
    PromocodeHeldV1,
    PromocodeRefusedV1,
    PromocodeNotHeldV1,
    CampaignChangedV1,
    PurchasePaidV1,
    PurchaseFailedV1,
    PurchaseRefundedV1,
    SubscriptionEndingV1,
    WalletCreditedV1,
    WalletDebitedV1,
    WithdrawalFailedV1,
    TopUpFailedV1,
    TariffChangedV1,
    ReportPurchaseV1,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::MESSAGES;

    #[test]
    fn every_message_is_described() {
        let described: Vec<_> = message_schemas()
            .iter()
            .map(|schema| (schema.exchange, schema.routing_key, schema.message_type))
            .collect();
        let messages: Vec<_> = MESSAGES
            .iter()
            .map(|message| (message.exchange, message.routing_key, message.message_type))
            .collect();
        assert_eq!(described, messages);
    }

    #[test]
    fn what_a_message_refers_to_is_in_its_document() {
        for schema in message_schemas() {
            let document = schema.document();
            let mut targets = Vec::new();
            references(&document, &mut targets);
            assert!(!targets.is_empty(), "{}", schema.name);
            for target in targets {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{target} in {}", schema.name);
            }
            assert!(!schema.description.is_empty(), "{}", schema.name);
            assert_eq!(document["properties"]["type"]["const"], schema.message_type);
        }
    }

    #[test]
    fn fields_that_may_be_absent_are_not_required() {
        let schemas = message_schemas();
        let held = schemas
            .iter()
            .find(|schema| schema.name == "PromocodeGrantedV1")
            .unwrap();
        let granted = &held.definitions["PromocodeGrantedV1"];
        let required = granted["required"].as_array().unwrap();
        assert!(required.contains(&json!("promocode")) && !required.contains(&json!("ends_at")));
        assert_eq!(
            granted["properties"]["ends_at"]["type"], "string",
            "absent is not null"
        );
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::String(target) if name == "$ref" => found.push(target.clone()),
                        other => references(other, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
}

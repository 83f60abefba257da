//! How a message travels: CloudEvents 1.0 in JSON.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Exchange, RollCall};
use crate::{clock::Instant, ids::MessageId};

/// Something that one service says and others hear.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The CloudEvents type with its version: `kopeck.billing.purchase_paid.v1`.
    const TYPE: &'static str;
    /// Where it is published.
    const EXCHANGE: Exchange;
    /// Under which key: `purchase.paid`.
    const ROUTING_KEY: &'static str;

    /// The aggregate that it is about.
    fn subject(&self) -> Uuid;

    /// That aggregate's version as of this message; 0 where it has none.
    fn version(&self) -> i64;
}

/// A message in its envelope.
///
/// The attributes are those of CloudEvents 1.0; `aggregateversion`, `traceparent` (W3C
/// Trace Context) and `rollcall` are extensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Envelope {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique a message; a repeat keeps it.
    pub id: MessageId,
    /// The service that speaks: `/billing`.
    pub source: String,
    /// What it is, with its version: `kopeck.billing.purchase_paid.v1`.
    #[serde(rename = "type")]
    pub message_type: String,
    /// The aggregate that it is about.
    pub subject: Uuid,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// That aggregate's version as of this message; 0 where it has none.
    pub aggregateversion: i64,
    /// The trace that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub traceparent: Option<String>,
    /// Where a repeat of a message also asks which messages its subscriber lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rollcall: Option<RollCall>,
    /// The message itself.
    pub data: serde_json::Value,
}

impl Envelope {
    /// Puts `message` into an envelope.
    ///
    /// # Errors
    /// When the message can't be written as JSON.
    pub fn seal<M: Message>(
        id: MessageId,
        source: &str,
        time: Instant,
        traceparent: Option<String>,
        message: &M,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: "1.0".to_owned(),
            id,
            source: format!("/{source}"),
            message_type: M::TYPE.to_owned(),
            subject: message.subject(),
            time,
            datacontenttype: "application/json".to_owned(),
            aggregateversion: message.version(),
            traceparent,
            rollcall: None,
            data: serde_json::to_value(message)?,
        })
    }

    /// Takes the message out.
    ///
    /// # Errors
    /// When the data is not an `M`.
    pub fn open<M: Message>(&self) -> Result<M, serde_json::Error> {
        M::deserialize(&self.data)
    }
}

/// Declares a message: its type, exchange, key, and what it is about.
macro_rules! message {
    ($name:ident, $type:literal, $exchange:ident, $key:literal, |$m:ident| $subject:expr, $version:expr) => {
        impl $crate::contracts::Message for $name {
            const TYPE: &'static str = $type;
            const EXCHANGE: $crate::contracts::Exchange = $crate::contracts::Exchange::$exchange;
            const ROUTING_KEY: &'static str = $key;

            fn subject(&self) -> uuid::Uuid {
                let $m = self;
                let _ = $m;
                $subject
            }

            fn version(&self) -> i64 {
                let $m = self;
                let _ = $m;
                $version
            }
        }
    };
}
pub(super) use message;

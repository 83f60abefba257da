//! How a publisher learns what a subscriber lacks.
//!
//! A broker confirms a message that it has in some queue. It says nothing of a binding that is missing
//! while another queue takes the message, nor of a queue that is deleted with messages in it. So every few
//! seconds a publisher repeats one message straight to the queue of each subscriber, and its envelope
//! carries the ids of all messages that the broker has confirmed for that subscriber since. The subscriber
//! compares them with its inbox and answers with the ids that it lacks; these are published again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::MessageId;

/// Asks a subscriber which messages it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollCall {
    /// Under which the answer is expected.
    pub id: Uuid,
    /// The ids of messages that the broker has confirmed for this subscriber.
    pub messages: Vec<MessageId>,
    /// The name of the queue for the answer.
    pub answer_to: String,
}

/// The answer to a [`RollCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollAnswer {
    /// Which roll call it answers.
    pub id: Uuid,
    /// Those of its messages that have not arrived.
    pub missing: Vec<MessageId>,
}

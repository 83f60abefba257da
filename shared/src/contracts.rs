//! The published language: what services say to each other, and who listens to what.
//!
//! Knows no service's inside. A message type is added here, never changed but by a field that
//! may be absent; any other change is a new version beside the old one.

pub mod asyncapi;
mod auth;
mod billing;
mod envelope;
mod loyalty;
mod permissions;
mod rollcall;
mod schema;
mod topology;

pub use auth::*;
pub use billing::*;
pub use envelope::*;
pub use loyalty::*;
pub use permissions::*;
pub use rollcall::*;
pub use schema::{MessageSchema, message_schemas};
pub use topology::*;

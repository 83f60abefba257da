//! Kopeck: a self-hosted loyalty, promocode and billing platform.
//!
//! This package is the program: it puts the services together, as one process or as many.

// First, since macros are known from where they are made on.
#[macro_use]
pub mod output;

pub mod cluster;
pub mod commands;
mod random;
pub mod servers;

use shared::{contracts::ServiceName, host::Definition};

/// Every service of the platform.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    ServiceName::ALL.into_iter().map(definition).collect()
}

/// How `service` is made.
#[must_use]
pub fn definition(service: ServiceName) -> Definition {
    match service {
        ServiceName::Auth => auth::definition(),
        ServiceName::Loyalty => loyalty::definition(),
        ServiceName::Billing => billing::definition(),
        ServiceName::Notifications => notifications::definition(),
    }
}

//! What every service stands on. Knows no service.

pub mod audit;
pub mod batch;
pub mod bus;
pub mod cache;
pub mod clock;
pub mod config;
pub mod contracts;
pub mod db;
pub mod facts;
pub mod host;
pub mod http;
pub mod ids;
pub mod inbox;
pub mod justification;
pub mod money;
mod operation;
pub mod outbox;
pub mod promocode;
pub mod reconcile;
pub mod sessions;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod throttle;
pub mod token;
pub mod users;
pub mod zone;

//! The rules of billing: values in, values or typed errors out.
//!
//! Nothing here waits, reads a clock, rolls dice or knows a database: whoever calls brings the
//! instant and the balance, in the transaction that writes what is decided.

pub mod chain;
pub mod failures;
pub mod idempotency;
pub mod ledger;
pub mod period;
pub mod purchase;
pub mod subscription;
pub mod tariff;
pub mod top_up;
pub mod wallet;

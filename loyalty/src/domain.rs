//! The pure rules of loyalty: what a promocode is, what it takes off, who may use it when,
//! and what becomes of a use once it is held.
//!
//! Nothing here reads a clock, a database or the network; every function takes what it needs.

pub mod batch;
pub mod campaign;
pub mod campaign_change;
pub mod decision;
pub mod discount;
pub mod eligibility;
pub mod group;
pub mod guess;
pub mod local_time;
pub mod masking;
pub mod period;
pub mod promocode;
pub mod redemption;
pub mod refusal;
pub mod stale_hold;
pub mod tariff;
pub mod waiting;

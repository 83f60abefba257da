//! Billing: wallets, tariffs, purchases and subscriptions.

pub mod domain;

//! The tables of notifications.

pub mod letter;

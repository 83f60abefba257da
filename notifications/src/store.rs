//! The tables of notifications.

pub mod letter;
pub mod mail;
pub mod preference;

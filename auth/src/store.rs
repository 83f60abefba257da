//! Auth's tables.

mod secret;
pub mod session;
pub mod signing_key;
pub mod user;
mod user_role;

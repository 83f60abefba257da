//! Auth's tables.

pub mod login;
pub mod refresh_token;
mod secret;
pub mod session;
pub mod signing_key;
pub mod throttle;
pub mod user;
mod user_role;

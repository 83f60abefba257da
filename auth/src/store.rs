//! Auth's tables.

pub mod login;
mod permissions;
pub mod refresh_token;
pub mod role;
mod secret;
pub mod session;
pub mod signing_key;
pub mod throttle;
pub mod user;
mod user_role;

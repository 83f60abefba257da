//! Auth's tables.

pub mod client;
pub mod login;
pub mod mail_request;
mod permissions;
pub mod refresh_token;
pub mod role;
mod secret;
pub mod secret_key;
pub mod session;
pub mod signing_key;
pub mod user;
pub mod user_role;
pub mod withdrawal;

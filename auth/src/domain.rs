//! Pure rules of accounts.

mod email;
mod password;
mod role;
mod user;

pub use email::{Email, EmailError};
pub use password::{Password, PasswordError};
pub use role::{Role, permissions_of};
pub use user::{Change, StatusError, User};

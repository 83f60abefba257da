//! What auth can do, one use case a file.
//!
//! Where a password is hashed, the use case takes the database and not a transaction: a hash
//! takes a core for some 20 ms, and nothing may hold a lock or a connection for so long.

mod block_user;
mod create_admin;
mod ensure_signing_key;
mod hash_password;
mod issue_token;
mod log_in;
mod read_keys;
mod read_users;
mod register_user;
mod unblock_user;

pub use block_user::{BlockUser, BlockUserError, block_user};
pub use create_admin::{CreateAdminError, create_admin};
pub use ensure_signing_key::ensure_signing_key;
pub use hash_password::{HashError, PasswordHasher};
pub use issue_token::{IssueTokenError, IssuedToken, TokenTerms};
pub use log_in::{Client, LogIn, LogInError, log_in};
pub use read_keys::read_keys;
pub use read_users::{ListUsers, UserFilter, find_user, list_users, status_of};
pub use register_user::{RegisterUser, RegisterUserError, register_user};
pub use unblock_user::{UnblockUser, UnblockUserError, unblock_user};

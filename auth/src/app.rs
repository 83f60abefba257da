//! What auth can do, one use case a file.
//!
//! Where a password is hashed, the use case takes the database and not a transaction: a hash
//! takes a core for some 20 ms, and nothing may hold a lock or a connection for so long.

mod actor;
mod announce_again;
mod assign_roles;
mod block_user;
mod change_password;
mod check_password;
mod client;
mod create_admin;
mod create_role;
mod delete_account;
mod delete_role;
mod delete_user;
mod end_sessions;
mod ensure_signing_key;
mod erase_user;
mod forget_old;
mod hash_password;
mod hash_queue;
mod hash_threads;
mod issue_client_token;
mod issue_token;
mod log_in;
mod mail_key;
mod manage_clients;
mod read_contacts;
mod read_keys;
mod read_roles;
mod read_sessions;
mod read_users;
mod refresh_session;
mod register_user;
mod request_mail;
mod role_error;
mod rotate_keys;
mod throttle;
mod unblock_user;
mod update_account;
mod update_role;
mod use_mail;
mod withdraw_permissions;

pub use actor::ActorError;
pub use announce_again::{announce_ended_sessions, announce_users};
pub use assign_roles::{AssignRoles, assign_roles};
pub use block_user::{BlockUser, BlockUserError, block_user};
pub use change_password::{ChangePassword, ChangePasswordError, change_password};
pub use check_password::CheckPasswordError;
pub use client::Client;
pub use create_admin::{CreateAdminError, create_admin};
pub use create_role::{CreateRole, create_role};
pub use delete_account::{DeleteAccount, DeleteAccountError, delete_account};
pub use delete_role::{DeleteRole, delete_role};
pub use delete_user::{DeleteUser, DeleteUserError, delete_user};
pub use end_sessions::{Which, end_sessions};
pub use ensure_signing_key::{EnsureSigningKeyError, ensure_signing_key};
pub use forget_old::forget_old;
pub use hash_password::{HashError, PasswordHasher};
pub use hash_queue::Turn;
pub use issue_client_token::{IssueClientToken, IssueClientTokenError, issue_client_token};
pub use issue_token::{IssueTokenError, IssuedTokens, TokenTerms};
pub use log_in::{LogIn, LogInError, log_in};
pub use mail_key::MailKey;
pub use manage_clients::{ClientError, ServiceClient, create_client, disable_client, list_clients};
pub use read_contacts::{find_contact, read_mail};
pub use read_keys::read_keys;
pub use read_roles::{find_role, list_roles};
pub use read_sessions::{Login, Session, list_logins, list_sessions};
pub use read_users::{
    ListUsers, UserFilter, UserPosition, UserSort, find_user, is_user, list_users, status_of,
};
pub use refresh_session::{RefreshSession, RefreshSessionError, Refreshed, refresh_session};
pub use register_user::{RegisterUser, RegisterUserError, register_user};
pub use request_mail::{RequestMailError, forgot_password, resend_confirmation};
pub use role_error::RoleError;
pub use rotate_keys::{BEFORE_SIGNING, KeyTimes, list_keys, rotate_keys};
pub use throttle::Limits;
pub use unblock_user::{UnblockUser, UnblockUserError, unblock_user};
pub use update_account::{UpdateAccount, UpdateAccountError, update_account};
pub use update_role::{UpdateRole, update_role};
pub use use_mail::{UseMail, UseMailError, confirm_email, reset_password};
pub use withdraw_permissions::{any_withdrawal_left, continue_withdrawal};

//! Pure rules of accounts.

mod email;
mod login;
mod password;
mod refresh;
mod role;
mod user;

pub use email::{Email, EmailError, LONGEST as LONGEST_EMAIL};
pub use login::{LoginOutcome, MOST_SESSIONS};
pub use password::{Password, PasswordError};
pub use refresh::{Again, Verdict, judge};
pub use role::{
    ADMIN, LONGEST_NAME as LONGEST_ROLE_NAME, ReservedPermission, Role, USER, check_description, check_name,
    check_permissions, not_held, permissions_of,
};
pub use user::{Change, StatusError, User, is_last_administrator};

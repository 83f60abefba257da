//! Use cases' errors as clients see them.

use axum::http::{HeaderValue, StatusCode, header};
use shared::http::Problem;

use crate::app::{BlockUserError, HashError, LogInError, RegisterUserError, UnblockUserError};

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::unavailable(),
            error @ HashError::Failed(_) => Self::internal(&error),
        }
    }
}

impl From<RegisterUserError> for Problem {
    fn from(error: RegisterUserError) -> Self {
        match error {
            RegisterUserError::EmailTaken => Self::new(
                StatusCode::CONFLICT,
                "email_taken",
                "The e-mail address has an account already",
            ),
            RegisterUserError::Hash(error) => error.into(),
            RegisterUserError::Store(error) => error.into(),
        }
    }
}

impl From<LogInError> for Problem {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::InvalidCredentials => Self::new(
                StatusCode::UNAUTHORIZED,
                "invalid_credentials",
                "The e-mail address or the password is wrong",
            )
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            LogInError::Blocked => blocked(),
            LogInError::Hash(error) => error.into(),
            LogInError::Token(error) => Self::internal(&error),
            LogInError::Store(error) => error.into(),
        }
    }
}

impl From<BlockUserError> for Problem {
    fn from(error: BlockUserError) -> Self {
        match error {
            BlockUserError::NotFound => Self::not_found("user"),
            BlockUserError::Oneself => {
                Self::new(StatusCode::CONFLICT, "own_account", "Nobody can block themselves")
            }
            BlockUserError::NotActive => blocked(),
            BlockUserError::Store(error) => error.into(),
        }
    }
}

impl From<UnblockUserError> for Problem {
    fn from(error: UnblockUserError) -> Self {
        match error {
            UnblockUserError::NotFound => Self::not_found("user"),
            UnblockUserError::NotActive => blocked(),
            UnblockUserError::Store(error) => error.into(),
        }
    }
}

fn blocked() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "user_blocked", "The account is blocked")
}

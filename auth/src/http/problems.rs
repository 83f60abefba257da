//! Use cases' errors as clients see them.

use axum::http::{HeaderValue, StatusCode, header};
use serde_json::json;
use shared::http::{FieldError, Problem};

use crate::app::{
    ActorError, BlockUserError, ChangePasswordError, CheckPasswordError, DeleteAccountError, DeleteUserError,
    HashError, LogInError, RefreshSessionError, RegisterUserError, RequestMailError, RoleError,
    UnblockUserError, UpdateAccountError, UseMailError,
};

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
            RegisterUserError::Throttled(throttled) => throttled.into(),
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
            LogInError::Throttled(throttled) => throttled.into(),
            LogInError::Hash(error) => error.into(),
            LogInError::Token(error) => Self::internal(&error),
            LogInError::Store(error) => error.into(),
        }
    }
}

impl From<RefreshSessionError> for Problem {
    fn from(error: RefreshSessionError) -> Self {
        Self::internal(&error)
    }
}

impl From<CheckPasswordError> for Problem {
    fn from(error: CheckPasswordError) -> Self {
        match error {
            CheckPasswordError::Wrong => {
                Self::new(StatusCode::FORBIDDEN, "wrong_password", "The password is wrong")
            }
            CheckPasswordError::Throttled(throttled) => throttled.into(),
            CheckPasswordError::Hash(error) => error.into(),
            CheckPasswordError::Store(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for Problem {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Check(error) => error.into(),
            ChangePasswordError::Hash(error) => error.into(),
            ChangePasswordError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteAccountError> for Problem {
    fn from(error: DeleteAccountError) -> Self {
        match error {
            DeleteAccountError::Unconfirmed => unconfirmed(),
            DeleteAccountError::Check(error) => error.into(),
            DeleteAccountError::LastAdministrator => last_administrator(),
            DeleteAccountError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteUserError> for Problem {
    fn from(error: DeleteUserError) -> Self {
        match error {
            DeleteUserError::NotFound => Self::not_found("user"),
            DeleteUserError::Deleted => deleted(),
            DeleteUserError::Unconfirmed => unconfirmed(),
            DeleteUserError::Oneself => Self::new(
                StatusCode::CONFLICT,
                "own_account",
                "Nobody can delete themselves so",
            )
            .detail("One's own account is deleted by `DELETE /auth/v1/me`."),
            DeleteUserError::LastAdministrator => last_administrator(),
            DeleteUserError::Actor(error) => error.into(),
            DeleteUserError::Store(error) => error.into(),
        }
    }
}

impl From<UpdateAccountError> for Problem {
    fn from(error: UpdateAccountError) -> Self {
        match error {
            UpdateAccountError::NotFound => Self::no_account(),
            UpdateAccountError::NotActive => blocked(),
            UpdateAccountError::Store(error) => error.into(),
        }
    }
}

impl From<BlockUserError> for Problem {
    fn from(error: BlockUserError) -> Self {
        match error {
            BlockUserError::NotFound => Self::not_found("user"),
            BlockUserError::Deleted => deleted(),
            BlockUserError::Oneself => {
                Self::new(StatusCode::CONFLICT, "own_account", "Nobody can block themselves")
            }
            BlockUserError::LastAdministrator => last_administrator(),
            BlockUserError::Actor(error) => error.into(),
            BlockUserError::Store(error) => error.into(),
        }
    }
}

impl From<UnblockUserError> for Problem {
    fn from(error: UnblockUserError) -> Self {
        match error {
            UnblockUserError::NotFound => Self::not_found("user"),
            UnblockUserError::Deleted => deleted(),
            UnblockUserError::Actor(error) => error.into(),
            UnblockUserError::Store(error) => error.into(),
        }
    }
}

impl From<RequestMailError> for Problem {
    fn from(error: RequestMailError) -> Self {
        match error {
            RequestMailError::Throttled(throttled) => throttled.into(),
            RequestMailError::Confirmed => Self::new(
                StatusCode::CONFLICT,
                "email_confirmed",
                "The e-mail address is confirmed already",
            ),
            RequestMailError::NotFound => Self::no_account(),
            RequestMailError::NotActive => blocked(),
            RequestMailError::Store(error) => error.into(),
        }
    }
}

impl From<UseMailError> for Problem {
    fn from(error: UseMailError) -> Self {
        match error {
            UseMailError::Invalid => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_mail_token",
                "The link is not valid",
            )
            .detail("It was used before, or has expired; ask for another letter."),
            UseMailError::Blocked => blocked(),
            UseMailError::Throttled(throttled) => throttled.into(),
            UseMailError::Hash(error) => error.into(),
            UseMailError::Store(error) => error.into(),
        }
    }
}

impl From<ActorError> for Problem {
    fn from(error: ActorError) -> Self {
        match error {
            ActorError::NotActive => blocked(),
            ActorError::NotAllowed(permission) => Self::forbidden(permission.as_str()),
            ActorError::NotHeld(permissions) => Self::new(
                StatusCode::FORBIDDEN,
                "permission_not_held",
                "Nobody can give or take what they may not do",
            )
            .with("permissions", json!(permissions)),
            ActorError::Outranked(permissions) => Self::new(
                StatusCode::FORBIDDEN,
                "higher_rank",
                "The user may do more than the caller",
            )
            .detail(
                "Nobody can block, unblock or delete somebody who may do what they may not do themselves; \
                 `permissions` says what that is.",
            )
            .with("permissions", json!(permissions)),
            ActorError::Store(error) => error.into(),
        }
    }
}

impl From<RoleError> for Problem {
    fn from(error: RoleError) -> Self {
        let conflict = |code, title| Self::new(StatusCode::CONFLICT, code, title);
        match error {
            RoleError::NotFound => Self::not_found("role"),
            RoleError::UserNotFound => Self::not_found("user"),
            RoleError::UserDeleted => deleted(),
            RoleError::Exists => conflict("role_exists", "There is a role of that name"),
            RoleError::BuiltIn => conflict("built_in_role", "The role belongs to the platform"),
            RoleError::InUse => conflict("role_in_use", "Somebody has the role"),
            RoleError::Unknown(names) => {
                let errors = names
                    .into_iter()
                    .map(|name| FieldError::new("roles", format!("there is no role `{name}`")));
                Self::invalid(&errors.collect::<Vec<_>>())
            }
            RoleError::LastAdministrator => last_administrator(),
            RoleError::Actor(error) => error.into(),
            RoleError::Store(error) => error.into(),
        }
    }
}

/// 403: they may do nothing.
pub(super) fn blocked() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "user_blocked", "The account is blocked")
}

/// 409: nothing can be done with the account any more.
fn deleted() -> Problem {
    Problem::new(StatusCode::CONFLICT, "user_deleted", "The account is deleted")
}

/// 409: whoever deletes an account must say that they know what is lost.
fn unconfirmed() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "confirmation_required",
        "The deletion must be confirmed",
    )
    .detail(
        "What is left in the wallet is forfeited and nothing can be restored. Send `\"confirm\": true` \
         to delete the account all the same.",
    )
}

/// 409: somebody must be able to administer the platform.
pub(super) fn last_administrator() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "last_administrator",
        "They are the last administrator",
    )
    .detail("Make somebody else an administrator first.")
}

/// 401: the session does not go on.
pub(super) fn invalid_refresh_token() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "invalid_refresh_token",
        "The refresh token is not valid",
    )
    .detail("It was used before, has expired, or its session has ended; log in to begin a new one.")
    .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// 409: the session goes on with the answer to another request.
pub(super) fn refresh_in_flight() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "refresh_in_flight",
        "The refresh token is being replaced",
    )
    .detail("Another request with it was answered just now; if that answer is lost, ask again.")
    .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

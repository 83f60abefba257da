//! Who calls: the access token's owner, if they may act at this moment.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderValue, StatusCode, header, request::Parts},
};
use sea_orm::DbErr;

use super::{Problem, single};
use crate::{
    contracts::{Permission, UserStatus},
    ids::{SessionId, UserId},
    sessions::EndedSessions,
    token::{TokenError, TokenVerifier},
};

/// Where a service knows the status of users from: auth from its users, the others from their
/// replica of them.
#[async_trait]
pub trait UserStatuses: Send + Sync {
    /// The user's status, as the database has it; `None` if nothing is known of them yet.
    async fn status(&self, user: UserId) -> Result<Option<UserStatus>, DbErr>;

    /// The same for requests that change nothing: it may come from a cache.
    async fn recent_status(&self, user: UserId) -> Result<Option<UserStatus>, DbErr> {
        self.status(user).await
    }
}

/// What a service needs to know its callers.
#[derive(Clone)]
pub struct Guard {
    /// Checks their tokens.
    pub tokens: Arc<TokenVerifier>,
    /// Knows their status.
    pub statuses: Arc<dyn UserStatuses>,
    /// Knows whose sessions have ended.
    pub sessions: EndedSessions,
}

/// The user behind a request: has a good token and is not blocked or deleted, as far as the
/// service has heard. Not having heard of somebody yet is no refusal.
///
/// For a method that may change something, their status is read in the database; otherwise it may
/// come from the cache.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub user_id: UserId,
    /// In which login.
    pub session_id: SessionId,
    /// Whether it is a program, which has no account and nothing that belongs to one.
    is_program: bool,
    permissions: Vec<Permission>,
}

impl Caller {
    /// Whether the token allows it.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// # Errors
    /// 403 when the token does not allow it.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        if self.may(permission) {
            Ok(())
        } else {
            Err(Problem::forbidden(permission.as_str()))
        }
    }

    /// Whose things are asked for: the caller's own.
    ///
    /// # Errors
    /// 403 when the caller is a program.
    pub fn own(&self) -> Result<UserId, Problem> {
        if self.is_program {
            Err(Problem::no_account())
        } else {
            Ok(self.user_id)
        }
    }

    /// Whose things are asked for: the caller's own, or somebody else's if the token allows it.
    ///
    /// # Errors
    /// 403 when it does not, or when a program asks for its own.
    pub fn own_or(&self, other: Option<UserId>, permission: Permission) -> Result<UserId, Problem> {
        match other {
            Some(user) if user != self.user_id => self.require(permission).map(|()| user),
            _ => self.own(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Guard: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let guard = Guard::from_ref(state);
        let changes_nothing = parts.method.is_safe();
        guard.let_in(parts, changes_nothing).await
    }
}

/// The caller of a request whose method may change something and which needs no fresh status all
/// the same: it changes nothing, or its transaction reads the status itself.
#[derive(Clone, Debug)]
pub struct RecentCaller(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for RecentCaller
where
    Guard: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Guard::from_ref(state).let_in(parts, true).await.map(Self)
    }
}

impl Guard {
    /// Whoever calls, if they may act.
    async fn let_in(&self, parts: &Parts, changes_nothing: bool) -> Result<Caller, Problem> {
        let header = single(&parts.headers, header::AUTHORIZATION).map_err(|_| {
            unauthorized(
                "invalid_token",
                "The access token is not valid",
                "Send `Authorization` once.",
            )
        })?;
        let header = header.ok_or_else(|| {
            unauthorized(
                "unauthenticated",
                "An access token is needed",
                "Send `Authorization: Bearer TOKEN`.",
            )
        })?;
        let token = header
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                unauthorized(
                    "invalid_token",
                    "The access token is not valid",
                    "Send `Authorization: Bearer TOKEN`.",
                )
            })?;
        let claims = self.tokens.verify(token).await?;
        let status = if changes_nothing {
            self.statuses.recent_status(claims.sub).await?
        } else {
            self.statuses.status(claims.sub).await?
        };
        match status {
            // After the status: whoever is blocked is told so, and not to log in.
            None | Some(UserStatus::Active) if self.sessions.contains_any(&claims.ends_with()) => {
                Err(unauthorized(
                    "invalid_token",
                    "The access token is not valid",
                    "Its session has ended, or its program was disabled; log in to begin a new session.",
                ))
            }
            None | Some(UserStatus::Active) => Ok(Caller {
                user_id: claims.sub,
                session_id: claims.sid,
                is_program: claims.client_id.is_some(),
                permissions: claims.permissions,
            }),
            Some(UserStatus::Blocked) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "user_blocked",
                "The account is blocked",
            )),
            Some(UserStatus::Deleted) => Err(unauthorized(
                "invalid_token",
                "The access token is not valid",
                "Its account is deleted, or its program was disabled.",
            )),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => unauthorized(
                "invalid_token",
                "The access token is not valid",
                "Log in to get a new one.",
            ),
            TokenError::Expired => unauthorized(
                "token_expired",
                "The access token has expired",
                "Refresh it or log in again.",
            ),
            TokenError::KeysUnavailable(_) => Self::unavailable(),
        }
    }
}

/// 401, with the challenge of RFC 6750.
fn unauthorized(code: &'static str, title: &'static str, detail: &'static str) -> Problem {
    let challenge = if code == "unauthenticated" {
        "Bearer"
    } else {
        "Bearer error=\"invalid_token\""
    };
    Problem::new(StatusCode::UNAUTHORIZED, code, title)
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

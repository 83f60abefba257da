//! Logging in, staying so, and logging out.

use axum::{extract::State, http::StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use shared::http::{Caller, Json, Problem};
use utoipa::ToSchema;

use super::{
    AppState,
    client::{FromClient, Owner},
    problems::{blocked, invalid_refresh_token, refresh_in_flight},
};
use crate::app::{self, IssuedTokens, LogIn, RefreshSession, Refreshed, Which};

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LogIn)]
pub(super) struct LogInBody {
    /// An e-mail address; case does not matter.
    #[schema(example = "anna@example.com")]
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// Tokens, under OAuth 2's names.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(super) struct TokensView {
    /// Allows requests: `Authorization: Bearer …`.
    access_token: String,
    /// Gets the next tokens; good once.
    refresh_token: String,
    /// `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// For how long the access token is good, in seconds.
    #[schema(minimum = 1)]
    expires_in: u32,
}

impl From<IssuedTokens> for TokensView {
    fn from(tokens: IssuedTokens) -> Self {
        Self {
            access_token: tokens.access.access_token,
            refresh_token: tokens.refresh_token.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.access.expires_in,
        }
    }
}

/// Begins a session.
///
/// The answer, and the time that it takes, say nothing about which accounts there are. Of more than
/// 100 sessions of a user, those that were unused longest end.
#[utoipa::path(post, path = "/login", security(()), request_body = LogInBody, responses(
    (status = 200, body = TokensView),
    (status = 401, description = "`invalid_credentials`: the e-mail address or the password is wrong."),
    (status = 403, description = "`user_blocked`: the account is blocked."),
    (status = 429, description = "`too_many_attempts`: too many passwords were wrong; `Retry-After` says for how long to wait."),
))]
pub(super) async fn log_in(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<LogInBody>,
) -> Result<Json<TokensView>, Problem> {
    let input = LogIn {
        email: body.email,
        password: body.password,
        client,
    };
    let (sessions, terms) = (state.sessions(), &state.terms);
    let tokens = app::log_in(&state.db, &state.hasher, sessions, terms, state.limits, &input).await?;
    Ok(Json(tokens.into()))
}

/// Who wants to stay logged in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Refresh)]
pub(super) struct RefreshBody {
    /// The one that came last.
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// Replaces a refresh token by the next tokens.
///
/// It is good once: if it comes again, its session is ended, since somebody may have stolen it.
/// A client that has lost the answer may ask again with the same token, two to ten seconds later, as
/// long as nobody has used what the answer held.
#[utoipa::path(post, path = "/refresh", security(()), request_body = RefreshBody, responses(
    (status = 200, body = TokensView),
    (status = 401, description = "`invalid_refresh_token`: it is none, or good no more."),
    (status = 403, description = "`user_blocked`: the account is blocked."),
    (status = 409, description = "`refresh_in_flight`: the same client has just asked with the same token; use the other answer, or ask again after `Retry-After`."),
))]
pub(super) async fn refresh(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<RefreshBody>,
) -> Result<Json<TokensView>, Problem> {
    let input = &RefreshSession {
        refresh_token: body.refresh_token,
        client,
    };
    let (sessions, terms) = (state.sessions(), &state.terms);
    let refreshed = state
        .db
        .write(|tx| async move { app::refresh_session(&tx, sessions, terms, input).await })
        .await?;
    match refreshed {
        Refreshed::Tokens(tokens) => Ok(Json((*tokens).into())),
        Refreshed::Invalid => Err(invalid_refresh_token()),
        Refreshed::InFlight => Err(refresh_in_flight()),
        Refreshed::Blocked => Err(blocked()),
    }
}

/// Ends the session of the access token, in every service.
#[utoipa::path(post, path = "/logout", responses(
    (status = 204),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
))]
pub(super) async fn log_out(
    State(state): State<AppState>,
    Owner(caller): Owner,
) -> Result<StatusCode, Problem> {
    end(&state, &caller, Which::One(caller.session_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the caller, this one included, in every service.
#[utoipa::path(post, path = "/logout-all", responses(
    (status = 204),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
))]
pub(super) async fn log_out_everywhere(
    State(state): State<AppState>,
    Owner(caller): Owner,
) -> Result<StatusCode, Problem> {
    end(&state, &caller, Which::All).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends sessions of the caller; how many there were.
pub(super) async fn end(state: &AppState, caller: &Caller, which: Which) -> Result<usize, Problem> {
    let (sessions, user) = (state.sessions(), caller.user_id);
    let ended = state
        .db
        .write(|tx| async move { app::end_sessions(&tx, sessions, user, which).await })
        .await?;
    Ok(ended)
}

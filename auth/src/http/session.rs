//! One's own sessions, and who tried to begin one.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    http::{Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::SessionId,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AppState, client::Owner, login::end};
use crate::app::{self, Login, Session, Which};

/// A login that can go on.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionView {
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    created_at: DateTime<Utc>,
    /// When its tokens were given out last.
    last_used_at: DateTime<Utc>,
    /// When it ends, if it is not refreshed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at: Option<DateTime<Utc>>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<String>,
    /// From where it came last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<String>,
}

impl SessionView {
    fn of(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            current: session.id == current,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            user_agent: session.user_agent,
            address: session.address,
        }
    }
}

/// The caller's sessions that can go on, the newest first.
#[utoipa::path(get, path = "/me/sessions", params(PageQuery),
    responses(
        (status = 200, body = Page<SessionView>),
        (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    ))]
pub(super) async fn list_sessions(
    State(state): State<AppState>,
    Owner(caller): Owner,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<SessionView>>, Problem> {
    let limit = page.limit()?;
    let after = page.after()?.map(|cursor| (cursor.at, cursor.id));
    let (db, user) = (&state.db, caller.user_id);
    // One more tells whether there is a next page.
    let sessions = app::list_sessions(db.reader(), user, db.now(), after, limit + 1).await?;
    let cursor = |session: &Session| Cursor {
        at: session.created_at,
        id: session.id.0,
    };
    let view = |session| SessionView::of(session, caller.session_id);
    Ok(Json(Page::of(sessions, limit, cursor, view)))
}

/// Ends one of the caller's sessions, in every service.
#[utoipa::path(delete, path = "/me/sessions/{id}", params(("id" = SessionId, Path)),
    responses(
        (status = 204),
        (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    ))]
pub(super) async fn end_session(
    State(state): State<AppState>,
    Owner(caller): Owner,
    Path(session): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    match end(&state, &caller, Which::One(session)).await? {
        0 => Err(Problem::not_found("session")),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// A try to log in.
#[derive(Serialize, ToSchema)]
#[schema(as = Login)]
pub(super) struct LoginView {
    id: Uuid,
    at: DateTime<Utc>,
    /// `succeeded`, `wrong_password`, or `user_blocked`: the right password of a blocked account.
    #[schema(example = "succeeded")]
    outcome: &'static str,
    /// What the client called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<String>,
}

impl From<Login> for LoginView {
    fn from(login: Login) -> Self {
        Self {
            id: login.id,
            at: login.at,
            outcome: login.outcome.as_str(),
            user_agent: login.user_agent,
            address: login.address,
        }
    }
}

/// Who logged in to the caller's account, and who tried, in the last 90 days; the newest first.
#[utoipa::path(get, path = "/me/logins", params(PageQuery),
    responses(
        (status = 200, body = Page<LoginView>),
        (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    ))]
pub(super) async fn list_logins(
    State(state): State<AppState>,
    Owner(caller): Owner,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<LoginView>>, Problem> {
    let limit = page.limit()?;
    let after = page.after()?.map(|cursor| (cursor.at, cursor.id));
    let logins = app::list_logins(state.db.reader(), caller.user_id, after, limit + 1).await?;
    let cursor = |login: &Login| Cursor {
        at: login.at,
        id: login.id,
    };
    Ok(Json(Page::of(logins, limit, cursor, LoginView::from)))
}

//! Users, as administrators see them.

use std::collections::BTreeSet;

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::{Locale, Permission, UserStatus},
    http::{Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::UserId,
};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use crate::{
    app::{self, BlockUser, DeleteUser, ListUsers, UnblockUser, UserFilter},
    domain::User,
};

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserView {
    id: UserId,
    /// As typed at registration; absent of who is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "anna@example.com")]
    email: Option<String>,
    status: UserStatus,
    locale: Locale,
    roles: BTreeSet<String>,
    registered_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: Some(user.email.typed().to_owned()).filter(|email| !email.is_empty()),
            status: user.status,
            locale: user.locale,
            roles: user.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            registered_at: user.registered_at,
        }
    }
}

/// Which users a list shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// With this in their e-mail address.
    email: Option<String>,
    status: Option<UserStatus>,
}

impl UserQuery {
    fn parse(self) -> Result<UserFilter, Problem> {
        // Nothing else can be in an address, and PostgreSQL takes no NUL in a text.
        if self
            .email
            .as_ref()
            .is_some_and(|part| part.chars().any(char::is_control))
        {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "The query has invalid parameters",
            )
            .detail("`email` must be a part of an e-mail address."));
        }
        Ok(UserFilter {
            email: self.email,
            status: self.status,
        })
    }
}

/// Users, the newest first.
#[utoipa::path(get, path = "/users", params(UserQuery, PageQuery),
    responses((status = 200, body = Page<UserView>)))]
pub(super) async fn list_users(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<UserQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<UserView>>, Problem> {
    caller.require(Permission::UsersRead)?;
    let limit = page.limit()?;
    let input = ListUsers {
        filter: query.parse()?,
        after: page.after()?.map(|cursor| (cursor.at, cursor.id)),
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let users = app::list_users(state.db.reader(), &input).await?;
    let cursor = |user: &User| Cursor {
        at: user.registered_at,
        id: user.id.0,
    };
    Ok(Json(Page::of(users, limit, cursor, UserView::from)))
}

/// One user.
#[utoipa::path(get, path = "/users/{id}", params(("id" = UserId, Path)),
    responses((status = 200, body = UserView)))]
pub(super) async fn get_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<UserView>, Problem> {
    caller.require(Permission::UsersRead)?;
    let user = app::find_user(state.db.reader(), id).await?;
    let user = user.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(user.into()))
}

/// Blocks a user, and ends their sessions in every service.
#[utoipa::path(post, path = "/users/{id}/block", params(("id" = UserId, Path)), responses(
    (status = 200, body = UserView),
    (status = 409, description = "`own_account`: it is the caller's own. `last_administrator`: nobody could then administer the platform."),
))]
pub(super) async fn block_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> Result<Json<UserView>, Problem> {
    caller.require(Permission::UsersBlock)?;
    let input = BlockUser {
        user,
        by: caller.user_id,
    };
    let sessions = state.sessions();
    let user = state
        .db
        .write(|tx| async move { app::block_user(&tx, sessions, input).await })
        .await?;
    Ok(Json(user.into()))
}

/// Lifts a user's block. They have to log in anew.
#[utoipa::path(post, path = "/users/{id}/unblock", params(("id" = UserId, Path)),
    responses((status = 200, body = UserView)))]
pub(super) async fn unblock_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> Result<Json<UserView>, Problem> {
    caller.require(Permission::UsersBlock)?;
    let input = UnblockUser {
        user,
        by: caller.user_id,
    };
    let user = state
        .db
        .write(|tx| async move { app::unblock_user(&tx, input).await })
        .await?;
    Ok(Json(user.into()))
}

/// Deletes a user for good: everything that tells of them is erased, and what is left in their
/// wallet is forfeited.
#[utoipa::path(delete, path = "/users/{id}", params(("id" = UserId, Path)), responses(
    (status = 204),
    (status = 409, description = "`own_account`: it is the caller's own. `last_administrator`: nobody could then administer the platform."),
))]
pub(super) async fn delete_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::UsersDelete)?;
    let input = DeleteUser {
        user,
        by: caller.user_id,
    };
    let sessions = state.sessions();
    state
        .db
        .write(|tx| async move { app::delete_user(&tx, sessions, input).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

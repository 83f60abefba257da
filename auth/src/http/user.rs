//! Users, as administrators see them.

use std::collections::BTreeSet;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use shared::{
    clock::Instant,
    contracts::{Locale, Permission, UserStatus},
    http::{Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::UserId,
};

use super::AppState;
use crate::{
    app::{self, BlockUser, ListUsers, UnblockUser, UserFilter},
    domain::{Role, User},
};

/// A user.
#[derive(Serialize)]
pub(super) struct UserView {
    id: UserId,
    email: String,
    status: UserStatus,
    locale: Locale,
    roles: BTreeSet<Role>,
    registered_at: Instant,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email.typed().to_owned(),
            status: user.status,
            locale: user.locale,
            roles: user.roles,
            registered_at: user.registered_at,
        }
    }
}

/// Which users a list shows.
#[derive(Deserialize)]
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

/// `GET /auth/v1/users`
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

/// `GET /auth/v1/users/{id}`
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

/// `POST /auth/v1/users/{id}/block`
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
    let user = state
        .db
        .write(|tx| async move { app::block_user(&tx, input).await })
        .await?;
    Ok(Json(user.into()))
}

/// `POST /auth/v1/users/{id}/unblock`
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

//! Users, as administrators see them.

use std::collections::BTreeSet;

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::{Locale, Permission, UserStatus},
    http::{Caller, Json, Page, PageQuery, Path, Problem, Query, in_range, justification, present},
    ids::UserId,
    justification::Justification,
    zone::Zone,
};
use utoipa::{IntoParams, ToSchema};

use super::{AppState, user_cursor};
use crate::{
    app::{self, BlockUser, DeleteUser, ListUsers, UnblockUser, UserFilter, UserSort},
    domain::{LONGEST_EMAIL, LONGEST_ROLE_NAME, User},
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
    /// Whether they have shown that it is theirs.
    email_confirmed: bool,
    status: UserStatus,
    locale: Locale,
    /// Their time zone, by its name in the IANA database; absent if they have chosen none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Europe/Moscow")]
    time_zone: Option<&'static str>,
    roles: BTreeSet<String>,
    registered_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: Some(user.email.typed().to_owned()).filter(|email| !email.is_empty()),
            email_confirmed: user.email_confirmed,
            status: user.status,
            locale: user.locale,
            time_zone: user.time_zone.map(Zone::name),
            roles: user.roles,
            registered_at: user.registered_at,
        }
    }
}

/// Which users a list shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// With this in their e-mail address.
    #[param(max_length = 254)]
    email: Option<String>,
    /// With this status.
    status: Option<UserStatus>,
    /// With this role.
    #[param(max_length = 32)]
    role: Option<String>,
    /// Who registered then or later.
    registered_from: Option<DateTime<Utc>>,
    /// Who registered before then.
    registered_to: Option<DateTime<Utc>>,
    /// By what they are sorted; `registered_at` if absent.
    #[param(inline)]
    sort: Option<SortBy>,
    /// `desc` if absent, but `asc` for e-mail addresses.
    #[param(inline)]
    order: Option<SortOrder>,
}

/// By what users are sorted.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    RegisteredAt,
    Email,
}

/// What comes first: the smallest or the largest.
#[derive(Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SortOrder {
    Asc,
    Desc,
}

impl UserQuery {
    fn parse(self, page: &PageQuery) -> Result<ListUsers, Problem> {
        // Nothing else can be in an address or a name; PostgreSQL takes no NUL in a text, and SQLite no
        // long pattern.
        for (name, value, longest) in [
            ("email", &self.email, LONGEST_EMAIL),
            ("role", &self.role, LONGEST_ROLE_NAME),
        ] {
            let fits = |part: &String| part.len() <= longest && !part.chars().any(char::is_control);
            if !value.as_ref().is_none_or(fits) {
                let detail =
                    format!("`{name}` must have at most {longest} characters and no control characters.");
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_query",
                    "The query has invalid parameters",
                )
                .detail(detail));
            }
        }
        in_range("registered_from", self.registered_from)?;
        in_range("registered_to", self.registered_to)?;
        let sort = match self.sort {
            Some(SortBy::Email) => UserSort::Email,
            Some(SortBy::RegisteredAt) | None => UserSort::RegisteredAt,
        };
        let after = page.cursor.as_deref();
        Ok(ListUsers {
            filter: UserFilter {
                email: self.email,
                status: self.status,
                role: self.role,
                registered_from: self.registered_from,
                registered_to: self.registered_to,
            },
            sort,
            descending: self
                .order
                .map_or(sort == UserSort::RegisteredAt, |order| order == SortOrder::Desc),
            after: after
                .map(|cursor| user_cursor::decode(cursor, sort))
                .transpose()?,
            // One more tells whether there is a next page.
            limit: page.limit()? + 1,
        })
    }
}

/// Users, the newest first unless it is asked for another order.
#[utoipa::path(get, path = "/users",
    security(("access_token" = ["users.read"])),
    params(UserQuery, PageQuery),
    responses((status = 200, body = Page<UserView>)))]
pub(super) async fn list_users(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<UserQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<UserView>>, Problem> {
    caller.require(Permission::UsersRead)?;
    let input = query.parse(&page)?;
    let mut users = app::list_users(state.db.reader(), &input).await?;
    let limit = usize::try_from(page.limit()?).unwrap_or(usize::MAX);
    let more = users.len() > limit;
    users.truncate(limit);
    let last = users.last().filter(|_| more);
    Ok(Json(Page {
        next_cursor: last.map(|user| user_cursor::encode(user, input.sort)),
        items: users.into_iter().map(UserView::from).collect(),
    }))
}

/// One user.
#[utoipa::path(get, path = "/users/{id}",
    security(("access_token" = ["users.read"])),
    params(("id" = UserId, Path)),
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

/// Why a user is blocked, or is no longer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BlockReason)]
pub(super) struct ReasonBody {
    /// In the administrator's words, without control characters; kept in the audit log.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 500)]
    reason: Option<String>,
}

impl ReasonBody {
    fn parse(body: Option<Json<Self>>) -> Result<Option<Justification>, Problem> {
        let reason = body.and_then(|Json(body)| body.reason);
        reason.as_deref().map(justification).transpose()
    }
}

/// Blocks a user, and ends their sessions in every service.
///
/// The caller may do all that the user may. Nothing changes for one who is blocked already.
#[utoipa::path(post, path = "/users/{id}/block",
    security(("access_token" = ["users.block"])),
    params(("id" = UserId, Path)), request_body = Option<ReasonBody>, responses(
    (status = 200, body = UserView),
    (status = 403, description = "`higher_rank`: the user may do what the caller may not; `permissions` says what."),
    (status = 409, description = "`user_deleted`: the account is deleted. `own_account`: it is the caller's own. `last_administrator`: nobody could then administer the platform."),
))]
pub(super) async fn block_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
    body: Option<Json<ReasonBody>>,
) -> Result<Json<UserView>, Problem> {
    caller.require(Permission::UsersBlock)?;
    let input = &BlockUser {
        user,
        by: caller.user_id,
        reason: ReasonBody::parse(body)?,
    };
    let sessions = state.sessions();
    let user = state
        .db
        .write(|tx| async move { app::block_user(&tx, sessions, input).await })
        .await?;
    Ok(Json(user.into()))
}

/// Lifts a user's block. They have to log in anew.
///
/// The caller may do all that the user may.
#[utoipa::path(post, path = "/users/{id}/unblock",
    security(("access_token" = ["users.block"])),
    params(("id" = UserId, Path)), request_body = Option<ReasonBody>, responses(
    (status = 200, body = UserView),
    (status = 403, description = "`higher_rank`: the user may do what the caller may not; `permissions` says what."),
    (status = 409, description = "`user_deleted`: the account is deleted."),
))]
pub(super) async fn unblock_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
    body: Option<Json<ReasonBody>>,
) -> Result<Json<UserView>, Problem> {
    caller.require(Permission::UsersBlock)?;
    let input = &UnblockUser {
        user,
        by: caller.user_id,
        reason: ReasonBody::parse(body)?,
    };
    let user = state
        .db
        .write(|tx| async move { app::unblock_user(&tx, input).await })
        .await?;
    Ok(Json(user.into()))
}

/// Whoever deletes a user says that they know what is lost.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserDeletion)]
pub(super) struct DeleteBody {
    /// `true` says: what is left in the wallet may be forfeited, and nothing can be restored.
    #[serde(default)]
    confirm: bool,
}

/// Deletes a user for good.
///
/// What is left in their wallet is forfeited; so it wants `confirm`. Everything that tells of them is
/// erased. The caller may do all that the user may.
#[utoipa::path(delete, path = "/users/{id}",
    security(("access_token" = ["users.delete"])),
    params(("id" = UserId, Path)), request_body = Option<DeleteBody>, responses(
    (status = 204),
    (status = 403, description = "`higher_rank`: the user may do what the caller may not; `permissions` says what."),
    (status = 409, description = "`confirmation_required`: `confirm` was not true. `user_deleted`: the account is deleted already. `own_account`: it is the caller's own. `last_administrator`: nobody could then administer the platform."),
))]
pub(super) async fn delete_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
    body: Option<Json<DeleteBody>>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::UsersDelete)?;
    let input = DeleteUser {
        user,
        by: caller.user_id,
        confirmed: body.is_some_and(|Json(body)| body.confirm),
    };
    let sessions = state.sessions();
    state
        .db
        .write(|tx| async move { app::delete_user(&tx, sessions, input).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

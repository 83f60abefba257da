//! Roles, and who has them.

use std::{collections::BTreeSet, fmt::Display};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, FieldError, Json, Page, Path, Problem, present},
    ids::UserId,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AppState, user::UserView};
use crate::{
    app::{self, AssignRoles, CreateRole, DeleteRole, UpdateRole},
    domain::{Role, check_description, check_name, check_permissions},
};

/// More roles than anybody needs.
const MOST_ROLES: usize = 20;

/// A set of permissions with a name.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub(super) struct RoleView {
    /// Names it in the audit log.
    id: Uuid,
    #[schema(example = "support")]
    name: String,
    description: String,
    permissions: BTreeSet<Permission>,
    /// Whether it belongs to the platform and can't be removed.
    built_in: bool,
}

impl From<Role> for RoleView {
    fn from(role: Role) -> Self {
        Self {
            permissions: role.allows(),
            built_in: role.is_built_in(),
            id: role.id,
            name: role.name,
            description: role.description,
        }
    }
}

/// Every role, by name.
#[utoipa::path(get, path = "/roles",
    security(("access_token" = ["users.read"])),
    responses((status = 200, body = Page<RoleView>)))]
pub(super) async fn list_roles(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<Page<RoleView>>, Problem> {
    caller.require(Permission::UsersRead)?;
    let roles = app::list_roles(state.db.reader()).await?;
    Ok(Json(Page {
        items: roles.into_iter().map(Into::into).collect(),
        next_cursor: None,
    }))
}

/// One role.
#[utoipa::path(get, path = "/roles/{name}",
    security(("access_token" = ["users.read"])),
    params(("name" = String, Path)),
    responses((status = 200, body = RoleView)))]
pub(super) async fn get_role(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RoleView>, Problem> {
    caller.require(Permission::UsersRead)?;
    let name = name_in_path(name)?;
    let role = app::find_role(state.db.reader(), &name).await?;
    let role = role.ok_or_else(|| Problem::not_found("role"))?;
    Ok(Json(role.into()))
}

/// What can't be a name names nothing.
fn name_in_path(name: String) -> Result<String, Problem> {
    check_name(&name)
        .map(|()| name)
        .map_err(|_| Problem::not_found("role"))
}

/// What is wrong with a field, if anything is.
fn wrong(field: &str, checked: Result<(), impl Display>) -> Option<FieldError> {
    Some(FieldError::new(field, checked.err()?.to_string()))
}

/// 422 with everything that is wrong, if anything is.
fn refuse_all(wrong: impl IntoIterator<Item = Option<FieldError>>) -> Result<(), Problem> {
    let errors: Vec<_> = wrong.into_iter().flatten().collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid(&errors))
    }
}

/// A new role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRole)]
pub(super) struct CreateBody {
    #[schema(
        example = "support",
        min_length = 2,
        max_length = 32,
        pattern = "^[a-z][a-z0-9_-]*$"
    )]
    name: String,
    /// No control characters.
    #[serde(default)]
    #[schema(max_length = 200)]
    description: String,
    permissions: BTreeSet<Permission>,
}

/// Makes a role, which allows no more than the caller may do.
#[utoipa::path(post, path = "/roles",
    security(("access_token" = ["roles.write"])),
    request_body = CreateBody, responses(
    (status = 201, body = RoleView),
    (status = 403, description = "`forbidden`: the token does not allow it. `permission_not_held`: the role would allow what the caller may not do."),
    (status = 409, description = "`role_exists`: there is one of that name."),
))]
pub(super) async fn create_role(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<CreateBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::RolesWrite)?;
    refuse_all([
        wrong("name", check_name(&body.name)),
        wrong("description", check_description(&body.description)),
        wrong("permissions", check_permissions(&body.permissions)),
    ])?;
    let input = &CreateRole {
        by: caller.user_id,
        name: body.name,
        description: body.description,
        permissions: body.permissions,
    };
    let role = state
        .db
        .write(|tx| async move { app::create_role(&tx, input).await })
        .await?;
    let location = [(header::LOCATION, format!("/auth/v1/roles/{}", role.name))];
    Ok((StatusCode::CREATED, location, Json(RoleView::from(role))).into_response())
}

/// What becomes of a role; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoleUpdate)]
pub(super) struct UpdateBody {
    /// No control characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 200)]
    description: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    permissions: Option<BTreeSet<Permission>>,
}

/// Changes a role. The caller may do all that they give or take.
///
/// What the role allows from now on is in the next tokens. If it loses a permission, the sessions of those
/// who have that permission by no other role end in every service: their tokens are refused, and they log in
/// again. Of a role that very many users have, the first 200 lose theirs at once, the others within seconds.
#[utoipa::path(patch, path = "/roles/{name}",
    security(("access_token" = ["roles.write"])),
    params(("name" = String, Path)), request_body = UpdateBody,
    responses(
        (status = 200, body = RoleView),
        (status = 403, description = "`forbidden`: the token does not allow it. `permission_not_held`: the caller may not do what they would give or take."),
        (status = 409, description = "`built_in_role`: what `admin` allows can't be changed."),
    ))]
pub(super) async fn update_role(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<UpdateBody>,
) -> Result<Json<RoleView>, Problem> {
    caller.require(Permission::RolesWrite)?;
    let name = name_in_path(name)?;
    refuse_all([
        wrong(
            "description",
            body.description.as_deref().map_or(Ok(()), check_description),
        ),
        wrong(
            "permissions",
            body.permissions.as_ref().map_or(Ok(()), check_permissions),
        ),
    ])?;
    let input = &UpdateRole {
        by: caller.user_id,
        name,
        description: body.description,
        permissions: body.permissions,
    };
    let sessions = state.sessions();
    let role = state
        .db
        .write(|tx| async move { app::update_role(&tx, sessions, input).await })
        .await?;
    Ok(Json(role.into()))
}

/// Removes a role that nobody has.
#[utoipa::path(delete, path = "/roles/{name}",
    security(("access_token" = ["roles.write"])),
    params(("name" = String, Path)), responses(
    (status = 204),
    (status = 403, description = "`forbidden`: the token does not allow it. `permission_not_held`: the role allows what the caller may not do."),
    (status = 409, description = "`role_in_use`: somebody has it. `built_in_role`: it belongs to the platform."),
))]
pub(super) async fn delete_role(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::RolesWrite)?;
    let input = &DeleteRole {
        by: caller.user_id,
        name: name_in_path(name)?,
    };
    state
        .db
        .write(|tx| async move { app::delete_role(&tx, input).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody becomes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoleAssignment)]
pub(super) struct AssignBody {
    /// All roles that they have from now on, each once.
    #[schema(min_items = 1, max_items = 20)]
    roles: Vec<String>,
}

/// Gives a user these roles and takes all others. The caller may do all that they give or take.
///
/// What is given is in the user's next token. If a permission is taken away, all of the user's sessions end
/// in every service: their tokens are refused, and they log in again.
#[utoipa::path(put, path = "/users/{id}/roles",
    security(("access_token" = ["roles.write"])),
    params(("id" = UserId, Path)), request_body = AssignBody,
    responses(
        (status = 200, body = UserView),
        (status = 403, description = "`forbidden`: the token does not allow it. `permission_not_held`: the caller may not do what they would give or take."),
        (status = 409, description = "`user_deleted`: the account is deleted. `last_administrator`: nobody could then administer the platform."),
    ))]
pub(super) async fn assign_roles(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
    Json(body): Json<AssignBody>,
) -> Result<Json<UserView>, Problem> {
    caller.require(Permission::RolesWrite)?;
    if !(1..=MOST_ROLES).contains(&body.roles.len()) {
        let error = FieldError::new("roles", format!("there must be 1 to {MOST_ROLES}"));
        return Err(Problem::invalid(&[error]));
    }
    if let Some(wrong) = body.roles.iter().find(|name| check_name(name).is_err()) {
        let error = FieldError::new("roles", format!("`{}` is no role", wrong.escape_debug()));
        return Err(Problem::invalid(&[error]));
    }
    let input = &AssignRoles {
        by: caller.user_id,
        user,
        roles: body.roles.into_iter().collect(),
    };
    let sessions = state.sessions();
    let user = state
        .db
        .write(|tx| async move { app::assign_roles(&tx, sessions, input).await })
        .await?;
    Ok(Json(user.into()))
}

//! Groups and who is in them, for administrators.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query},
    ids::{GroupId, UserId},
};
use utoipa::ToSchema;

use super::{AppState, part, user_deleted};
use crate::app::{
    change_groups::{self, ChangeGroupError},
    read_groups::{self, Member, ShownGroup},
};

/// A group that is to be made, or another name for one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GroupTerms)]
pub(super) struct GroupTermsBody {
    /// For administrators.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// A set of users.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(super) struct GroupBody {
    id: GroupId,
    name: String,
    /// How many users are in it.
    members: i64,
    created_at: DateTime<Utc>,
}

impl From<ShownGroup> for GroupBody {
    fn from(shown: ShownGroup) -> Self {
        Self {
            id: shown.group.id,
            name: shown.group.name,
            members: shown.members,
            created_at: shown.group.created_at,
        }
    }
}

/// A user in a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMember)]
pub(super) struct MemberBody {
    user_id: UserId,
    added_at: DateTime<Utc>,
}

impl From<Member> for MemberBody {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user_id,
            added_at: member.added_at,
        }
    }
}

/// Makes a group, with nobody in it.
#[utoipa::path(post, path = "/groups",
    security(("access_token" = ["campaigns.write"])),
    request_body = GroupTermsBody,
    responses((status = 201, body = GroupBody, headers(("location" = String, description = "The group.")))))]
pub(super) async fn create_group(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<GroupTermsBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let (by, name) = (caller.user_id, &body.name);
    let group = state
        .db
        .write(|tx| async move { change_groups::create_group(&tx, by, name).await })
        .await?;
    let location = format!("/loyalty/v1/groups/{}", group.id);
    let body = GroupBody::from(ShownGroup { group, members: 0 });
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// All groups, the newest first.
#[utoipa::path(get, path = "/groups",
    security(("access_token" = ["campaigns.read"])),
    params(PageQuery), responses((status = 200, body = Page<GroupBody>)))]
pub(super) async fn list_groups(
    State(state): State<AppState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<GroupBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&page)?;
    let groups = read_groups::read_groups(state.db.reader(), part).await?;
    let cursor = |shown: &ShownGroup| Cursor {
        at: shown.group.created_at,
        id: shown.group.id.0,
    };
    Ok(Json(Page::of(groups, part.limit, cursor, GroupBody::from)))
}

/// One group.
#[utoipa::path(get, path = "/groups/{id}",
    security(("access_token" = ["campaigns.read"])),
    params(("id" = GroupId, Path)),
    responses((status = 200, body = GroupBody)))]
pub(super) async fn get_group(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<GroupId>,
) -> Result<Json<GroupBody>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    shown(&state, id).await
}

async fn shown(state: &AppState, id: GroupId) -> Result<Json<GroupBody>, Problem> {
    let group = read_groups::read_group(state.db.reader(), id).await?;
    let group = group.ok_or_else(|| Problem::not_found("group"))?;
    Ok(Json(group.into()))
}

/// Gives a group another name.
#[utoipa::path(patch, path = "/groups/{id}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = GroupId, Path)), request_body = GroupTermsBody,
    responses((status = 200, body = GroupBody)))]
pub(super) async fn rename_group(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<GroupId>,
    Json(body): Json<GroupTermsBody>,
) -> Result<Json<GroupBody>, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let (by, name) = (caller.user_id, &body.name);
    state
        .db
        .write(|tx| async move { change_groups::rename_group(&tx, by, id, name).await })
        .await?;
    shown(&state, id).await
}

/// Deletes a group, and what was granted to it. Campaigns that are for it are for nobody in it then.
#[utoipa::path(delete, path = "/groups/{id}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = GroupId, Path)), responses((status = 204)))]
pub(super) async fn delete_group(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<GroupId>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let by = caller.user_id;
    state
        .db
        .write(|tx| async move { change_groups::delete_group(&tx, by, id).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is in a group, who came last first.
#[utoipa::path(get, path = "/groups/{id}/members",
    security(("access_token" = ["campaigns.read"])),
    params(("id" = GroupId, Path), PageQuery),
    responses((status = 200, body = Page<MemberBody>)))]
pub(super) async fn list_members(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<GroupId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<MemberBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&page)?;
    let members = read_groups::read_members(state.db.reader(), id, part).await?;
    let members = members.ok_or_else(|| Problem::not_found("group"))?;
    let cursor = |member: &Member| Cursor {
        at: member.added_at,
        id: member.user_id.0,
    };
    Ok(Json(Page::of(members, part.limit, cursor, MemberBody::from)))
}

/// Takes a user into a group; again changes nothing.
#[utoipa::path(put, path = "/groups/{id}/members/{user_id}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = GroupId, Path), ("user_id" = UserId, Path)),
    responses(
        (status = 204),
        (status = 403, description = "`forbidden`: it needs the permission `campaigns.write`. `own_membership`: the user is the caller; another administrator takes them in."),
        (status = 409, description = "`user_deleted`: the account is deleted."),
    ))]
pub(super) async fn add_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((group, user)): Path<(GroupId, UserId)>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let by = caller.user_id;
    state
        .db
        .write(|tx| async move { change_groups::add_member(&tx, by, group, user).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a group.
#[utoipa::path(delete, path = "/groups/{id}/members/{user_id}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = GroupId, Path), ("user_id" = UserId, Path)), responses((status = 204)))]
pub(super) async fn remove_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((group, user)): Path<(GroupId, UserId)>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let by = caller.user_id;
    state
        .db
        .write(|tx| async move { change_groups::remove_member(&tx, by, group, user).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<ChangeGroupError> for Problem {
    fn from(error: ChangeGroupError) -> Self {
        match error {
            ChangeGroupError::NotFound => Self::not_found("group"),
            ChangeGroupError::MemberNotFound => Self::not_found("member"),
            ChangeGroupError::Own => Self::new(
                StatusCode::FORBIDDEN,
                "own_membership",
                "An account can't take itself into a group",
            )
            .detail("Another administrator has to do it."),
            ChangeGroupError::UserDeleted => user_deleted(),
            ChangeGroupError::Invalid(error) => Self::invalid(&[FieldError::new("name", error.to_string())]),
            error @ ChangeGroupError::Store(_) => Self::internal(&error),
        }
    }
}

//! To whom promocodes are granted, for administrators.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::{Permission, RefusalCode},
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query, present},
    ids::{GrantId, GroupId, PromocodeId, UserId},
};
use utoipa::{IntoParams, ToSchema};

use super::{AppState, campaigns::campaign_archived, part, user_deleted};
use crate::app::{
    check_named::wait_for_user,
    create_grant::{self, CreateGrant, CreateGrantError, Grantee, ThePromocode},
    delete_grant::{self, DeleteGrantError},
    read_grants::{self, GrantFilter, ShownGrant},
};

/// A grant that is to be made: of one promocode, to a user or to a group.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGrant)]
pub(super) struct NewGrantBody {
    /// What is typed to use it; or `promocode_id`.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    promocode: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    promocode_id: Option<PromocodeId>,
    /// To this user; or `group_id`.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    user_id: Option<UserId>,
    /// To whoever is in this group when they use it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    group_id: Option<GroupId>,
}

/// A promocode made available to a user or to a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
pub(super) struct GrantBody {
    id: GrantId,
    promocode_id: PromocodeId,
    promocode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    group_id: Option<GroupId>,
    granted_by: UserId,
    granted_at: DateTime<Utc>,
}

impl From<ShownGrant> for GrantBody {
    fn from(shown: ShownGrant) -> Self {
        let ShownGrant { grant, promocode } = shown;
        Self {
            id: grant.id,
            promocode_id: grant.promocode_id,
            promocode,
            user_id: grant.user_id,
            group_id: grant.group_id,
            granted_by: grant.granted_by,
            granted_at: grant.granted_at,
        }
    }
}

/// Which grants a list shows.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GrantsQuery {
    /// Of this promocode, as it is typed.
    promocode: Option<String>,
    /// Of this promocode.
    promocode_id: Option<PromocodeId>,
    /// To this user, and not to a group that they are in.
    user_id: Option<UserId>,
    /// To this group.
    group_id: Option<GroupId>,
}

/// Makes a promocode available to a user or to a group. Each user who can use it hears of it; of a group,
/// those who are in it now. The campaign may start later.
#[utoipa::path(post, path = "/grants",
    security(("access_token" = ["campaigns.write"])),
    request_body = NewGrantBody,
    responses(
        (status = 201, body = GrantBody),
        (status = 403, description = "`forbidden`: it needs the permission `campaigns.write`. `own_grant`: it is to be granted to the caller; another administrator grants it."),
        (status = 404, description = "`not_found`: there is no such promocode, group or user."),
        (status = 409, description = "`grant_exists`: it is granted to them already. `user_deleted`: the account is deleted. `campaign_archived`: it is over for good. `campaign_ended`: it is over. `campaign_paused`: it is paused. `promocode_disabled`: the promocode is disabled. `uses_exhausted`: every use is taken. `user_limit_reached`: the user has had as many uses as one user may have. `not_first_purchase`: the user has bought before. `not_new_user`: the user registered too long ago. `reasons` say all that is in the way. `promocode_unusable`: it is older than the form of codes and can't be typed."),
    ))]
pub(super) async fn create_grant(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<NewGrantBody>,
) -> Result<(StatusCode, Json<GrantBody>), Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let one_of =
        |field: &str, other: &str| FieldError::new(field, format!("give {field} or {other}, and not both"));
    let promocode = match (body.promocode, body.promocode_id) {
        (Some(typed), None) => Ok(ThePromocode::Code(typed)),
        (None, Some(id)) => Ok(ThePromocode::Id(id)),
        _ => Err(one_of("promocode", "promocode_id")),
    };
    let to = match (body.user_id, body.group_id) {
        (Some(user), None) => Ok(Grantee::User(user)),
        (None, Some(group)) => Ok(Grantee::Group(group)),
        _ => Err(one_of("user_id", "group_id")),
    };
    let (promocode, to) = match (promocode, to) {
        (Ok(promocode), Ok(to)) => (promocode, to),
        (promocode, to) => {
            let errors: Vec<_> = promocode.err().into_iter().chain(to.err()).collect();
            return Err(Problem::invalid(&errors));
        }
    };
    let by = caller.user_id;
    if let Grantee::User(user) = to {
        wait_for_user(&state.db, user).await?;
    }
    let input = &CreateGrant { by, promocode, to };
    let granted = state
        .db
        .write(|tx| async move { create_grant::create_grant(&tx, input.clone()).await })
        .await?;
    Ok((StatusCode::CREATED, Json(granted.into())))
}

/// To whom what is granted, the newest first.
#[utoipa::path(get, path = "/grants",
    security(("access_token" = ["campaigns.read"])),
    params(GrantsQuery, PageQuery),
    responses((status = 200, body = Page<GrantBody>)))]
pub(super) async fn list_grants(
    State(state): State<AppState>,
    caller: Caller,
    Query(which): Query<GrantsQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<GrantBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&page)?;
    let filter = GrantFilter {
        promocode: which.promocode,
        promocode_id: which.promocode_id,
        user_id: which.user_id,
        group_id: which.group_id,
    };
    let grants = read_grants::read_grants(state.db.reader(), filter, part).await?;
    let cursor = |shown: &ShownGrant| Cursor {
        at: shown.grant.granted_at,
        id: shown.grant.id.0,
    };
    Ok(Json(Page::of(grants, part.limit, cursor, GrantBody::from)))
}

/// Takes a grant back. What was used stays used.
#[utoipa::path(delete, path = "/grants/{id}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = GrantId, Path)), responses((status = 204)))]
pub(super) async fn delete_grant(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<GrantId>,
) -> Result<StatusCode, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let by = caller.user_id;
    state
        .db
        .write(|tx| async move { delete_grant::delete_grant(&tx, by, id).await })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unusable(code: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, "The promocode could not be used")
}

const fn code_of(reason: RefusalCode) -> &'static str {
    match reason {
        RefusalCode::PromocodeDisabled => "promocode_disabled",
        RefusalCode::CampaignEnded => "campaign_ended",
        RefusalCode::CampaignPaused => "campaign_paused",
        RefusalCode::UsesExhausted => "uses_exhausted",
        RefusalCode::UserLimitReached => "user_limit_reached",
        RefusalCode::NotFirstPurchase => "not_first_purchase",
        RefusalCode::NotNewUser => "not_new_user",
        _ => "promocode_unusable",
    }
}

impl From<CreateGrantError> for Problem {
    fn from(error: CreateGrantError) -> Self {
        match error {
            CreateGrantError::PromocodeNotFound => Self::not_found("promocode"),
            CreateGrantError::GroupNotFound => Self::not_found("group"),
            CreateGrantError::Own => Self::new(
                StatusCode::FORBIDDEN,
                "own_grant",
                "An account can't grant itself a promocode",
            )
            .detail("Another administrator has to grant it."),
            CreateGrantError::Archived => campaign_archived(),
            CreateGrantError::UserNotFound => Self::not_found("user"),
            CreateGrantError::UserDeleted => user_deleted(),
            CreateGrantError::NotTypeable => unusable("promocode_unusable").detail(
                "It is older than the form of codes: another promocode has its form, or it has none.",
            ),
            CreateGrantError::Unusable(reasons) => {
                let code = reasons
                    .first()
                    .map_or("promocode_unusable", |reason| code_of(reason.code));
                unusable(code).reasons(&reasons)
            }
            CreateGrantError::GrantExists => Self::new(
                StatusCode::CONFLICT,
                "grant_exists",
                "The promocode is granted to them already",
            ),
            error @ CreateGrantError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<DeleteGrantError> for Problem {
    fn from(error: DeleteGrantError) -> Self {
        match error {
            DeleteGrantError::NotFound => Self::not_found("grant"),
            error @ DeleteGrantError::Store(_) => Self::internal(&error),
        }
    }
}

//! Promocodes, for administrators.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query, present},
    ids::{CampaignId, PromocodeId},
};
use utoipa::ToSchema;

use super::{AppState, campaigns::campaign_archived, other_version, part, promocode_exists};
use crate::{
    app::{
        create_promocode::{self, CreatePromocode, CreatePromocodeError, KeptPromocode},
        read_promocodes::read_promocodes,
        switch_promocode::{SwitchPromocode, SwitchPromocodeError, switch_promocode},
    },
    domain::promocode::{NewPromocode, Promocode, PromocodeCode, PromocodeError},
};

/// A promocode that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPromocode)]
pub(super) struct NewPromocodeBody {
    /// What customers type; unique on the platform. Codes are kept and compared in their normal form:
    /// Unicode NFKC, upper case, without invisible characters (default-ignorable code points) and
    /// surrounding space.
    #[schema(min_length = 1, max_length = 64, example = "SUMMER26")]
    code: String,
    /// How many uses it has; unlimited if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_uses: Option<i64>,
}

impl From<NewPromocodeBody> for NewPromocode {
    fn from(body: NewPromocodeBody) -> Self {
        Self {
            code: body.code,
            max_uses: body.max_uses,
        }
    }
}

/// What is wrong with it, each field's name behind `prefix`.
pub(super) fn promocode_errors(prefix: &str, errors: &[PromocodeError]) -> Vec<FieldError> {
    errors
        .iter()
        .map(|error| FieldError::new(format!("{prefix}{}", error.field()), error.to_string()))
        .collect()
}

/// A promocode's own terms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PromocodeTerms {
    id: PromocodeId,
    code: String,
    /// Present where the code is older than the rules of its form and can't be typed any more: another
    /// promocode has this form. Empty if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    normal_form: Option<String>,
    /// Unlimited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_uses: Option<i64>,
    status: PromocodeStatus,
    /// The same as `status`.
    disabled: bool,
    /// Grows by one with every change.
    version: i64,
}

/// Whether a promocode is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PromocodeStatus {
    /// Taken.
    Active,
    /// Refused.
    Disabled,
}

impl PromocodeStatus {
    const fn of(disabled: bool) -> Self {
        if disabled { Self::Disabled } else { Self::Active }
    }
}

impl From<Promocode> for PromocodeTerms {
    fn from(promocode: Promocode) -> Self {
        let normal_form = (!promocode.code.is_typeable()).then(|| {
            let normal = PromocodeCode::parse(promocode.code.as_str());
            normal.map_or_else(|_| String::new(), String::from)
        });
        Self {
            id: promocode.id,
            code: promocode.code.to_string(),
            normal_form,
            max_uses: promocode.max_uses,
            status: PromocodeStatus::of(promocode.disabled),
            disabled: promocode.disabled,
            version: promocode.version,
        }
    }
}

/// A promocode as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Promocode)]
pub(super) struct PromocodeBody {
    #[serde(flatten)]
    terms: PromocodeTerms,
    campaign_id: CampaignId,
    created_at: DateTime<Utc>,
}

impl From<KeptPromocode> for PromocodeBody {
    fn from(kept: KeptPromocode) -> Self {
        Self {
            campaign_id: kept.promocode.campaign_id,
            terms: kept.promocode.into(),
            created_at: kept.created_at,
        }
    }
}

/// Makes a promocode of a campaign.
#[utoipa::path(post, path = "/campaigns/{id}/promocodes",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = CampaignId, Path)),
    request_body = NewPromocodeBody,
    responses(
        (status = 201, body = PromocodeBody),
        (status = 409, description = "`promocode_exists`: there is such a promocode already. `campaign_archived`: its campaign is over for good."),
    ))]
pub(super) async fn create_promocode(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign_id): Path<CampaignId>,
    Json(body): Json<NewPromocodeBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let input = &CreatePromocode {
        by: caller.user_id,
        campaign_id,
        promocode: body.into(),
    };
    let created = state
        .db
        .write(|tx| async move { create_promocode::create_promocode(&tx, input.clone()).await })
        .await?;
    // No Location: a promocode alone has no address.
    Ok((StatusCode::CREATED, Json(PromocodeBody::from(created))).into_response())
}

/// The promocodes of a campaign, the newest first.
#[utoipa::path(get, path = "/campaigns/{id}/promocodes",
    security(("access_token" = ["campaigns.read"])),
    params(("id" = CampaignId, Path), PageQuery),
    responses((status = 200, body = Page<PromocodeBody>)))]
pub(super) async fn list_promocodes(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign_id): Path<CampaignId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<PromocodeBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&page)?;
    let promocodes = read_promocodes(state.db.reader(), campaign_id, part).await?;
    let promocodes = promocodes.ok_or_else(|| Problem::not_found("campaign"))?;
    let cursor = |kept: &KeptPromocode| Cursor {
        at: kept.created_at,
        id: kept.promocode.id.0,
    };
    Ok(Json(Page::of(
        promocodes,
        part.limit,
        cursor,
        PromocodeBody::from,
    )))
}

/// How a promocode is to be switched.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PromocodeChange)]
pub(super) struct PromocodeChangeBody {
    status: PromocodeStatus,
    /// The promocode's version that this change was made for; if it is not that any more, 409.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    version: Option<i64>,
}

/// Switches a promocode off or on. What is held goes on.
#[utoipa::path(patch, path = "/campaigns/{id}/promocodes/{code}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = CampaignId, Path), ("code" = String, Path)), request_body = PromocodeChangeBody,
    responses((status = 200, body = PromocodeBody), (status = 409, description = "`version_conflict`: it is in another version. `campaign_archived`: its campaign is over for good.")))]
pub(super) async fn change_promocode(
    State(state): State<AppState>,
    caller: Caller,
    Path((campaign_id, code)): Path<(CampaignId, String)>,
    Json(body): Json<PromocodeChangeBody>,
) -> Result<Json<PromocodeBody>, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let input = &SwitchPromocode {
        by: caller.user_id,
        campaign_id,
        code,
        disabled: body.status == PromocodeStatus::Disabled,
        version: body.version,
    };
    let changed = state
        .db
        .write(|tx| async move { switch_promocode(&tx, input.clone()).await })
        .await?;
    Ok(Json(changed.into()))
}

impl From<CreatePromocodeError> for Problem {
    fn from(error: CreatePromocodeError) -> Self {
        match error {
            CreatePromocodeError::CampaignNotFound => Self::not_found("campaign"),
            CreatePromocodeError::Archived => campaign_archived(),
            CreatePromocodeError::Invalid(errors) => Self::invalid(&promocode_errors("", &errors)),
            CreatePromocodeError::PromocodeExists => promocode_exists(),
            error @ CreatePromocodeError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<SwitchPromocodeError> for Problem {
    fn from(error: SwitchPromocodeError) -> Self {
        match error {
            SwitchPromocodeError::NotFound => Self::not_found("promocode"),
            SwitchPromocodeError::Archived => campaign_archived(),
            SwitchPromocodeError::OtherVersion(version) => other_version(version),
            error @ SwitchPromocodeError::Store(_) => Self::internal(&error),
        }
    }
}

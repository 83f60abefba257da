//! Campaigns, for administrators.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query, present},
    ids::CampaignId,
};
use utoipa::ToSchema;

use super::{
    AppState,
    fields::{Object, Written, or_null},
    other_version, part, promocode_exists,
    promocodes::{NewPromocodeBody, PromocodeTerms, promocode_errors},
    terms::{CampaignStatusSchema, DiscountSchema, EligibilityBody, RefundPolicySchema},
};
use crate::{
    app::{
        change_campaign::{self, ChangeCampaign, ChangeCampaignError},
        create_campaign::{self, CreateCampaign, CreateCampaignError, KeptCampaign},
        move_campaign::{MoveCampaignError, move_campaign},
        read_campaigns::{read_campaign, read_campaigns},
    },
    domain::{
        campaign::{CampaignError, CampaignStatus, NewCampaign, RefundPolicy},
        campaign_change::CampaignChange,
        discount::Discount,
    },
};

/// A campaign that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCampaign)]
pub(super) struct NewCampaignBody {
    /// For administrators.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(value_type = DiscountSchema)]
    discount: Object<Discount>,
    /// From when; since ever if absent. An instant, or a date or a time on the clocks of `timezone`. Of a
    /// time that comes twice the first is meant; for one that is left out, the moment of the jump.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 10, max_length = 64, example = "2026-12-01")]
    starts_at: Option<Written>,
    /// Until when, a date included; open-ended if absent. Of a time that comes twice the second is meant.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 10, max_length = 64, example = "2026-12-31")]
    ends_at: Option<Written>,
    /// IANA; UTC if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 64, example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Uses of all its promocodes together; unlimited if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_redemptions: Option<i64>,
    /// Uses that one user may have of all its promocodes together; unlimited if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_per_user: Option<i64>,
    /// For whom and for what it is; for everybody and everything if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<EligibilityBody>, nullable = false)]
    eligibility: Option<Object<EligibilityBody>>,
    /// Only for those to whom one of its promocodes is granted; excludes `users` and `groups`.
    #[serde(default)]
    requires_grant: bool,
    /// Whether it is shown to those it is for.
    #[serde(default)]
    listed: bool,
    /// `return_use` if absent.
    #[serde(default)]
    #[schema(value_type = RefundPolicySchema)]
    refund_policy: RefundPolicy,
    /// Its first promocode.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<NewPromocodeBody>, nullable = false)]
    promocode: Option<Object<NewPromocodeBody>>,
}

/// What is to be other than it is; what is left out stays. Null takes away what may be absent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignChange)]
pub(super) struct CampaignChangeBody {
    /// The version that this change was made for; if it is not that any more, 409.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    version: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<DiscountSchema>, nullable = false)]
    discount: Option<Object<Discount>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 10, max_length = 64, example = "2026-12-01")]
    starts_at: Option<Option<Written>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 10, max_length = 64, example = "2026-12-31")]
    ends_at: Option<Option<Written>>,
    /// A start and an end that are not changed with it stay the instants that they are.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 64, example = "Europe/Berlin")]
    timezone: Option<Option<String>>,
    /// What is taken already counts; below it nothing more is admitted.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_redemptions: Option<Option<i64>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_per_user: Option<Option<i64>>,
    /// As a whole.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<EligibilityBody>)]
    eligibility: Option<Option<Object<EligibilityBody>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    requires_grant: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    listed: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<RefundPolicySchema>, nullable = false)]
    refund_policy: Option<RefundPolicy>,
}

/// A campaign as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub(super) struct CampaignBody {
    id: CampaignId,
    /// Grows by one with every change of it or of one of its promocodes.
    version: i64,
    name: String,
    #[schema(value_type = CampaignStatusSchema)]
    status: &'static str,
    #[schema(value_type = DiscountSchema)]
    discount: Discount,
    /// The first instant at which its promocodes are taken; since ever if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    starts_at: Option<DateTime<Utc>>,
    /// The first instant at which they are no longer taken; open-ended if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ends_at: Option<DateTime<Utc>>,
    /// IANA; UTC if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    timezone: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_redemptions: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_per_user: Option<i64>,
    eligibility: EligibilityBody,
    requires_grant: bool,
    listed: bool,
    #[schema(value_type = RefundPolicySchema)]
    refund_policy: RefundPolicy,
    created_at: DateTime<Utc>,
    /// What was made together with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    promocode: Option<PromocodeTerms>,
}

impl From<KeptCampaign> for CampaignBody {
    fn from(kept: KeptCampaign) -> Self {
        let KeptCampaign { campaign, created_at } = kept;
        Self {
            id: campaign.id,
            version: campaign.version,
            name: campaign.name,
            status: campaign.status.as_str(),
            discount: campaign.discount,
            starts_at: campaign.starts_at,
            ends_at: campaign.ends_at,
            timezone: campaign.timezone.map(chrono_tz::Tz::name),
            max_redemptions: campaign.max_redemptions,
            max_per_user: campaign.max_per_user,
            eligibility: campaign.eligibility.into(),
            requires_grant: campaign.requires_grant,
            listed: campaign.listed,
            refund_policy: campaign.refund_policy,
            created_at,
            promocode: None,
        }
    }
}

/// Makes a campaign, and its first promocode with it if one is wanted.
#[utoipa::path(post, path = "/campaigns", request_body = NewCampaignBody,
    responses(
        (status = 201, body = CampaignBody, headers(("location" = String, description = "The campaign."))),
        (status = 409, description = "There is such a promocode already."),
    ))]
pub(super) async fn create_campaign(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<NewCampaignBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let input = CreateCampaign {
        by: caller.user_id,
        campaign: NewCampaign {
            name: body.name,
            discount: body.discount.0,
            starts_at: body.starts_at.map(|Written(moment)| moment),
            ends_at: body.ends_at.map(|Written(moment)| moment),
            timezone: body.timezone,
            max_redemptions: body.max_redemptions,
            max_per_user: body.max_per_user,
            eligibility: body.eligibility.unwrap_or_default().0.into(),
            requires_grant: body.requires_grant,
            listed: body.listed,
            refund_policy: body.refund_policy,
        },
        promocode: body.promocode.map(|Object(promocode)| promocode.into()),
        currency: state.currency,
    };
    let (terms, input) = (&state.terms, &input);
    let created = state
        .db
        .write(|tx| async move { create_campaign::create_campaign(&tx, terms, input.clone()).await })
        .await?;
    let location = format!("/loyalty/v1/campaigns/{}", created.campaign.campaign.id);
    let mut body = CampaignBody::from(created.campaign);
    body.promocode = created.promocode.map(Into::into);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// All campaigns, the newest first.
#[utoipa::path(get, path = "/campaigns", params(PageQuery),
    responses((status = 200, body = Page<CampaignBody>)))]
pub(super) async fn list_campaigns(
    State(state): State<AppState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<CampaignBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&page)?;
    let campaigns = read_campaigns(state.db.reader(), part).await?;
    let cursor = |kept: &KeptCampaign| Cursor {
        at: kept.created_at,
        id: kept.campaign.id.0,
    };
    Ok(Json(Page::of(campaigns, part.limit, cursor, CampaignBody::from)))
}

/// One campaign.
#[utoipa::path(get, path = "/campaigns/{id}", params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignBody)))]
pub(super) async fn get_campaign(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<CampaignBody>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let campaign = read_campaign(state.db.reader(), id).await?;
    let campaign = campaign.ok_or_else(|| Problem::not_found("campaign"))?;
    Ok(Json(campaign.into()))
}

/// Changes any of its terms, which makes a new version. What was priced stays priced.
#[utoipa::path(patch, path = "/campaigns/{id}", params(("id" = CampaignId, Path)),
    request_body = CampaignChangeBody,
    responses(
        (status = 200, body = CampaignBody),
        (status = 409, description = "It is in another version, or archived."),
    ))]
pub(super) async fn change_campaign(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign_id): Path<CampaignId>,
    Json(body): Json<CampaignChangeBody>,
) -> Result<Json<CampaignBody>, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let moment = |written: Option<Written>| written.map(|Written(moment)| moment);
    let input = &ChangeCampaign {
        by: caller.user_id,
        campaign_id,
        version: body.version,
        change: CampaignChange {
            name: body.name,
            discount: body.discount.map(|Object(discount)| discount),
            starts_at: body.starts_at.map(moment),
            ends_at: body.ends_at.map(moment),
            timezone: body.timezone,
            max_redemptions: body.max_redemptions,
            max_per_user: body.max_per_user,
            eligibility: body
                .eligibility
                .map(|eligibility| eligibility.unwrap_or_default().0.into()),
            requires_grant: body.requires_grant,
            listed: body.listed,
            refund_policy: body.refund_policy,
        },
        currency: state.currency,
    };
    let terms = &state.terms;
    let changed = state
        .db
        .write(|tx| async move { change_campaign::change_campaign(&tx, terms, input.clone()).await })
        .await?;
    Ok(Json(changed.into()))
}

/// Refuses its promocodes until it is resumed. What is held goes on.
#[utoipa::path(post, path = "/campaigns/{id}/pause", params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignBody), (status = 409, description = "It is archived.")))]
pub(super) async fn pause_campaign(
    state: State<AppState>,
    caller: Caller,
    id: Path<CampaignId>,
) -> Result<Json<CampaignBody>, Problem> {
    move_to(state, caller, id, CampaignStatus::Paused).await
}

/// Takes its promocodes again.
#[utoipa::path(post, path = "/campaigns/{id}/resume", params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignBody), (status = 409, description = "It is archived.")))]
pub(super) async fn resume_campaign(
    state: State<AppState>,
    caller: Caller,
    id: Path<CampaignId>,
) -> Result<Json<CampaignBody>, Problem> {
    move_to(state, caller, id, CampaignStatus::Active).await
}

/// Refuses its promocodes for good. What is held goes on.
#[utoipa::path(post, path = "/campaigns/{id}/archive", params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignBody)))]
pub(super) async fn archive_campaign(
    state: State<AppState>,
    caller: Caller,
    id: Path<CampaignId>,
) -> Result<Json<CampaignBody>, Problem> {
    move_to(state, caller, id, CampaignStatus::Archived).await
}

async fn move_to(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    status: CampaignStatus,
) -> Result<Json<CampaignBody>, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let (terms, by) = (&state.terms, caller.user_id);
    let moved = state
        .db
        .write(|tx| async move { move_campaign(&tx, terms, by, id, status).await })
        .await?;
    Ok(Json(moved.into()))
}

fn campaign_errors(errors: &[CampaignError]) -> impl Iterator<Item = FieldError> {
    errors
        .iter()
        .map(|error| FieldError::new(error.field(), error.to_string()))
}

impl From<ChangeCampaignError> for Problem {
    fn from(error: ChangeCampaignError) -> Self {
        match error {
            ChangeCampaignError::NotFound => Self::not_found("campaign"),
            ChangeCampaignError::OtherVersion(version) => other_version(version),
            ChangeCampaignError::Archived => campaign_archived(),
            ChangeCampaignError::Invalid(errors) => {
                Self::invalid(&campaign_errors(&errors).collect::<Vec<_>>())
            }
            error @ ChangeCampaignError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<MoveCampaignError> for Problem {
    fn from(error: MoveCampaignError) -> Self {
        match error {
            MoveCampaignError::NotFound => Self::not_found("campaign"),
            MoveCampaignError::Archived => campaign_archived(),
            error @ MoveCampaignError::Store(_) => Self::internal(&error),
        }
    }
}

pub(super) fn campaign_archived() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "campaign_archived",
        "The campaign is archived",
    )
    .detail("It is over for good.")
}

impl From<CreateCampaignError> for Problem {
    fn from(error: CreateCampaignError) -> Self {
        match error {
            CreateCampaignError::Invalid { campaign, promocode } => {
                let errors: Vec<_> = campaign_errors(&campaign)
                    .chain(promocode_errors("promocode.", &promocode))
                    .collect();
                Self::invalid(&errors)
            }
            CreateCampaignError::PromocodeExists => promocode_exists(),
            error @ CreateCampaignError::Store(_) => Self::internal(&error),
        }
    }
}

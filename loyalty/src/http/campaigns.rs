//! Campaigns, for administrators.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query},
    ids::CampaignId,
};
use utoipa::ToSchema;

use super::{
    AppState, other_version, part, promocode_exists,
    promocodes::{PromocodeTerms, promocode_errors},
    terms::{
        CampaignChangeBody, CampaignStatusSchema, DiscountSchema, EligibilityBody, NewCampaignBody,
        RefundPolicySchema, TitleBody,
    },
};
use crate::{
    app::{
        change_campaign::{self, ChangeCampaign, ChangeCampaignError},
        check_named::check_named,
        create_campaign::{self, CreateCampaign, CreateCampaignError, KeptCampaign},
        move_campaign::{MoveCampaignError, move_campaign},
        read_campaigns::{read_campaign, read_campaigns},
    },
    domain::{
        campaign::{CampaignError, CampaignStatus, RefundPolicy},
        discount::Discount,
    },
};

/// A campaign as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub(super) struct CampaignBody {
    id: CampaignId,
    /// Grows by one with every change of it or of one of its promocodes.
    version: i64,
    /// For administrators; customers never see it.
    name: String,
    /// What customers call it; without it they see no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    title: Option<TitleBody>,
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
            title: campaign.title.map(Into::into),
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
#[utoipa::path(post, path = "/campaigns",
    security(("access_token" = ["campaigns.write"])),
    request_body = NewCampaignBody,
    responses(
        (status = 201, body = CampaignBody, headers(("location" = String, description = "The campaign."))),
        (status = 409, description = "`promocode_exists`: there is such a promocode already."),
    ))]
pub(super) async fn create_campaign(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<NewCampaignBody>,
) -> Result<Response, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let (campaign, promocode) = body.into_parts();
    let input = CreateCampaign {
        by: caller.user_id,
        unknown: check_named(&state.db, &campaign.eligibility).await?,
        campaign,
        promocode,
        currency: state.currency,
    };
    let input = &input;
    let created = state
        .db
        .write(|tx| async move { create_campaign::create_campaign(&tx, input.clone()).await })
        .await?;
    let location = format!("/loyalty/v1/campaigns/{}", created.campaign.campaign.id);
    let mut body = CampaignBody::from(created.campaign);
    body.promocode = created.promocode.map(Into::into);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// All campaigns, the newest first.
#[utoipa::path(get, path = "/campaigns",
    security(("access_token" = ["campaigns.read"])),
    params(PageQuery),
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
#[utoipa::path(get, path = "/campaigns/{id}",
    security(("access_token" = ["campaigns.read"])),
    params(("id" = CampaignId, Path)),
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
#[utoipa::path(patch, path = "/campaigns/{id}",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = CampaignId, Path)),
    request_body = CampaignChangeBody,
    responses(
        (status = 200, body = CampaignBody),
        (status = 409, description = "`version_conflict`: it is in another version. `campaign_archived`: it is over for good."),
    ))]
pub(super) async fn change_campaign(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign_id): Path<CampaignId>,
    Json(body): Json<CampaignChangeBody>,
) -> Result<Json<CampaignBody>, Problem> {
    caller.require(Permission::CampaignsWrite)?;
    let (version, change) = body.into_parts();
    let unknown = match &change.eligibility {
        Some(eligibility) => {
            let before = read_campaign(state.db.reader(), campaign_id).await?;
            let before = before.ok_or_else(|| Problem::not_found("campaign"))?;
            // What it names already may be gone by now, and is no reason to change nothing else.
            let named = eligibility.named_since(&before.campaign.eligibility);
            check_named(&state.db, &named).await?
        }
        None => Vec::new(),
    };
    let input = &ChangeCampaign {
        by: caller.user_id,
        campaign_id,
        version,
        change,
        unknown,
        currency: state.currency,
    };
    let changed = state
        .db
        .write(|tx| async move { change_campaign::change_campaign(&tx, input.clone()).await })
        .await?;
    Ok(Json(changed.into()))
}

/// Refuses its promocodes until it is resumed. What is held goes on.
#[utoipa::path(post, path = "/campaigns/{id}/pause",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignBody), (status = 409, description = "`campaign_archived`: it is over for good.")))]
pub(super) async fn pause_campaign(
    state: State<AppState>,
    caller: Caller,
    id: Path<CampaignId>,
) -> Result<Json<CampaignBody>, Problem> {
    move_to(state, caller, id, CampaignStatus::Paused).await
}

/// Takes its promocodes again.
#[utoipa::path(post, path = "/campaigns/{id}/resume",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignBody), (status = 409, description = "`campaign_archived`: it is over for good.")))]
pub(super) async fn resume_campaign(
    state: State<AppState>,
    caller: Caller,
    id: Path<CampaignId>,
) -> Result<Json<CampaignBody>, Problem> {
    move_to(state, caller, id, CampaignStatus::Active).await
}

/// Refuses its promocodes for good. What is held goes on.
#[utoipa::path(post, path = "/campaigns/{id}/archive",
    security(("access_token" = ["campaigns.write"])),
    params(("id" = CampaignId, Path)),
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
    let by = caller.user_id;
    let moved = state
        .db
        .write(|tx| async move { move_campaign(&tx, by, id, status).await })
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

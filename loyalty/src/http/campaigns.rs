//! Campaigns, for administrators.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use shared::{
    clock::Instant,
    contracts::Permission,
    http::{Caller, Cursor, FieldError, Json, Page, PageQuery, Path, Problem, Query, instant, present},
    ids::CampaignId,
};

use super::{
    AppState, part, promocode_exists,
    promocodes::{NewPromocodeBody, PromocodeTerms, promocode_errors},
};
use crate::{
    app::{
        create_campaign::{self, CreateCampaign, CreateCampaignError, KeptCampaign},
        read_campaigns::{read_campaign, read_campaigns},
    },
    domain::{campaign::NewCampaign, discount::Discount},
};

/// A campaign that is to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCampaignBody {
    name: String,
    discount: Discount,
    #[serde(default, deserialize_with = "instant")]
    starts_at: Option<Instant>,
    #[serde(default, deserialize_with = "instant")]
    ends_at: Option<Instant>,
    #[serde(default, deserialize_with = "present")]
    timezone: Option<String>,
    #[serde(default, deserialize_with = "present")]
    max_redemptions: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    max_per_user: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    promocode: Option<NewPromocodeBody>,
}

/// A campaign as administrators see it.
#[derive(Debug, Serialize)]
pub(super) struct CampaignBody {
    id: CampaignId,
    version: i64,
    name: String,
    status: &'static str,
    discount: Discount,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_redemptions: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_per_user: Option<i64>,
    created_at: Instant,
    /// What was made together with it.
    #[serde(skip_serializing_if = "Option::is_none")]
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
            created_at,
            promocode: None,
        }
    }
}

/// To the microsecond, which is what both databases keep.
fn to_micros(instant: Instant) -> Instant {
    DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant)
}

/// `POST /campaigns`
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
            discount: body.discount,
            starts_at: body.starts_at.map(to_micros),
            ends_at: body.ends_at.map(to_micros),
            timezone: body.timezone,
            max_redemptions: body.max_redemptions,
            max_per_user: body.max_per_user,
        },
        promocode: body.promocode.map(Into::into),
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

/// `GET /campaigns`
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

/// `GET /campaigns/{id}`
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

impl From<CreateCampaignError> for Problem {
    fn from(error: CreateCampaignError) -> Self {
        match error {
            CreateCampaignError::Invalid { campaign, promocode } => {
                let campaign = campaign
                    .iter()
                    .map(|error| FieldError::new(error.field(), error.to_string()));
                let errors: Vec<_> = campaign
                    .chain(promocode_errors("promocode.", &promocode))
                    .collect();
                Self::invalid(&errors)
            }
            CreateCampaignError::PromocodeExists => promocode_exists(),
            error @ CreateCampaignError::Store(_) => Self::internal(&error),
        }
    }
}

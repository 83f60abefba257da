//! Why promocodes did not pass, for administrators.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::{Permission, Reason, RefusalCode},
    http::{Caller, Cursor, Json, Page, PageQuery, Problem, Query, in_range},
    ids::{CampaignId, PromocodeId, PurchaseId, RefusalId, TariffId, UserId},
};
use utoipa::{IntoParams, ToSchema};

use super::{AppState, part};
use crate::{
    app::read_refusals::{Refusal, RefusalSource, WhichRefusals, read_refusals},
    domain::promocode::PromocodeCode,
};

/// Which refusals a list shows.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RefusalsQuery {
    /// Of this user.
    user_id: Option<UserId>,
    /// Of a promocode of this campaign.
    campaign_id: Option<CampaignId>,
    /// Of this purchase.
    purchase_id: Option<PurchaseId>,
    /// Of what was typed, compared in its normal form: without case, invisible characters and
    /// surrounding space.
    promocode: Option<String>,
    /// With this reason among theirs.
    code: Option<RefusalCode>,
    /// Refused then or later.
    from: Option<DateTime<Utc>>,
    /// Refused before then.
    to: Option<DateTime<Utc>>,
    /// Only purchases (`hold`) or dry runs (`validation`).
    source: Option<SourceBody>,
}

/// Whether a purchase asked, or only a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RefusalSource)]
pub(super) enum SourceBody {
    /// A purchase.
    Hold,
    /// A dry run.
    Validation,
}

/// A refusal with all its reasons, unmasked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(super) struct RefusalBody {
    id: RefusalId,
    user_id: UserId,
    tariff_id: TariffId,
    source: SourceBody,
    /// Absent if it was a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    purchase_id: Option<PurchaseId>,
    /// As it was typed; empty if there is no such promocode and the account is deleted of who typed it.
    promocode: String,
    /// Absent if there is no such promocode.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    promocode_id: Option<PromocodeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    campaign_id: Option<CampaignId>,
    reasons: Vec<Reason>,
    refused_at: DateTime<Utc>,
}

impl From<Refusal> for RefusalBody {
    fn from(refusal: Refusal) -> Self {
        Self {
            id: refusal.id,
            user_id: refusal.user_id,
            tariff_id: refusal.tariff_id,
            source: match refusal.purchase_id {
                Some(_) => SourceBody::Hold,
                None => SourceBody::Validation,
            },
            purchase_id: refusal.purchase_id,
            promocode: refusal.promocode,
            promocode_id: refusal.found.map(|(promocode, _)| promocode),
            campaign_id: refusal.found.map(|(_, campaign)| campaign),
            reasons: refusal.reasons,
            refused_at: refusal.refused_at,
        }
    }
}

/// Why promocodes were refused, the newest first.
#[utoipa::path(get, path = "/refusals",
    security(("access_token" = ["refusals.read"])),
    params(RefusalsQuery, PageQuery),
    responses((status = 200, body = Page<RefusalBody>)))]
pub(super) async fn list_refusals(
    State(state): State<AppState>,
    caller: Caller,
    Query(which): Query<RefusalsQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RefusalBody>>, Problem> {
    caller.require(Permission::RefusalsRead)?;
    in_range("from", which.from)?;
    in_range("to", which.to)?;
    let part = part(&query)?;
    let promocode = match which.promocode.as_deref().map(PromocodeCode::parse) {
        None => None,
        Some(Ok(code)) => Some(code),
        // Nothing of what can be no promocode is found by it.
        Some(Err(_)) => return Ok(Json(Page::of(Vec::new(), part.limit, cursor, RefusalBody::from))),
    };
    let which = WhichRefusals {
        user_id: which.user_id,
        campaign_id: which.campaign_id,
        purchase_id: which.purchase_id,
        promocode,
        code: which.code,
        from: which.from,
        to: which.to,
        source: which.source.map(|source| match source {
            SourceBody::Hold => RefusalSource::Hold,
            SourceBody::Validation => RefusalSource::Validation,
        }),
    };
    let refusals = read_refusals(state.db.reader(), which, part).await?;
    Ok(Json(Page::of(refusals, part.limit, cursor, RefusalBody::from)))
}

fn cursor(refusal: &Refusal) -> Cursor {
    Cursor {
        at: refusal.refused_at,
        id: refusal.id.0,
    }
}

//! Why promocodes did not pass, for administrators.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::{
    clock::Instant,
    contracts::{Permission, Reason},
    http::{Caller, Cursor, Json, Page, PageQuery, Problem, Query},
    ids::{CampaignId, PromocodeId, PurchaseId, RefusalId, TariffId, UserId},
};

use super::{AppState, part};
use crate::app::read_refusals::{Refusal, WhichRefusals, read_refusals};

/// Which are asked for.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Which {
    user_id: Option<UserId>,
    campaign_id: Option<CampaignId>,
    purchase_id: Option<PurchaseId>,
}

/// A refusal with all its reasons, unmasked.
#[derive(Debug, Serialize)]
pub(super) struct RefusalBody {
    id: RefusalId,
    user_id: UserId,
    tariff_id: TariffId,
    /// Absent if it was a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase_id: Option<PurchaseId>,
    /// As it was typed.
    promocode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    promocode_id: Option<PromocodeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<CampaignId>,
    reasons: Vec<Reason>,
    refused_at: Instant,
}

impl From<Refusal> for RefusalBody {
    fn from(refusal: Refusal) -> Self {
        Self {
            id: refusal.id,
            user_id: refusal.user_id,
            tariff_id: refusal.tariff_id,
            purchase_id: refusal.purchase_id,
            promocode: refusal.promocode,
            promocode_id: refusal.found.map(|(promocode, _)| promocode),
            campaign_id: refusal.found.map(|(_, campaign)| campaign),
            reasons: refusal.reasons,
            refused_at: refusal.refused_at,
        }
    }
}

/// `GET /refusals`
pub(super) async fn list_refusals(
    State(state): State<AppState>,
    caller: Caller,
    Query(which): Query<Which>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RefusalBody>>, Problem> {
    caller.require(Permission::RefusalsRead)?;
    let part = part(&query)?;
    let which = WhichRefusals {
        user_id: which.user_id,
        campaign_id: which.campaign_id,
        purchase_id: which.purchase_id,
    };
    let refusals = read_refusals(state.db.reader(), which, part).await?;
    let cursor = |refusal: &Refusal| Cursor {
        at: refusal.refused_at,
        id: refusal.id.0,
    };
    Ok(Json(Page::of(refusals, part.limit, cursor, RefusalBody::from)))
}

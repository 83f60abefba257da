//! Redemptions: one's own, and a campaign's.

use axum::extract::State;
use chrono::{DateTime, Utc};
use iso_currency::Currency;
use serde::Serialize;
use shared::{
    contracts::{NotHeldReason, Permission, Reason},
    http::{Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::{CampaignId, PurchaseId, TariffId, UserId},
    money::Money,
};
use utoipa::ToSchema;

use super::{AppState, Whose, part, terms::RedemptionStatusSchema};
use crate::{
    app::read_redemptions::{
        ShownRedemption, Viewer, read_redemptions_of_campaign, read_redemptions_of_user,
    },
    domain::redemption::RedemptionStatus,
};

/// A redemption.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redemption)]
pub(super) struct RedemptionBody {
    purchase_id: PurchaseId,
    user_id: UserId,
    tariff_id: TariffId,
    #[schema(value_type = RedemptionStatusSchema)]
    status: RedemptionStatus,
    /// As it was typed where it was refused; empty if there is no such promocode and the account is
    /// deleted of who typed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    promocode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    campaign_id: Option<CampaignId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    campaign_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    list_price: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    discount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    final_price: Option<Money>,
    /// Why no use was taken at this price, though the promocode is good; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    not_held: Option<NotHeldReason>,
    /// Why it was refused; absent if it was not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    reasons: Vec<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    requested_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl RedemptionBody {
    fn of(shown: ShownRedemption, currency: Currency) -> Self {
        let ShownRedemption {
            redemption,
            status,
            reasons,
        } = shown;
        let money = |amount: Option<_>| amount.map(|amount| Money::new(amount, currency));
        Self {
            purchase_id: redemption.purchase_id,
            user_id: redemption.user_id,
            tariff_id: redemption.tariff_id,
            status,
            promocode: redemption.promocode,
            campaign_id: redemption.campaign_id,
            campaign_version: redemption.campaign_version,
            list_price: money(redemption.list_price),
            discount: money(redemption.discount),
            final_price: money(redemption.final_price),
            not_held: redemption.not_held,
            reasons,
            requested_at: redemption.requested_at,
            created_at: redemption.created_at,
            updated_at: redemption.updated_at,
        }
    }
}

fn page(redemptions: Vec<ShownRedemption>, limit: u64, currency: Currency) -> Json<Page<RedemptionBody>> {
    let cursor = |shown: &ShownRedemption| Cursor {
        at: shown.redemption.created_at,
        id: shown.redemption.purchase_id.0,
    };
    Json(Page::of(redemptions, limit, cursor, |shown| {
        RedemptionBody::of(shown, currency)
    }))
}

/// One's own redemptions, or a user's, the newest first.
#[utoipa::path(get, path = "/redemptions",
    security(("access_token" = []), ("access_token" = ["campaigns.read"])),
    params(Whose, PageQuery),
    responses((status = 200, body = Page<RedemptionBody>)))]
pub(super) async fn list_redemptions(
    State(state): State<AppState>,
    caller: Caller,
    Query(whose): Query<Whose>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RedemptionBody>>, Problem> {
    let user = caller.own_or(whose.user_id, Permission::CampaignsRead)?;
    let part = part(&query)?;
    let viewer = if user == caller.user_id {
        Viewer::Customer
    } else {
        Viewer::Administrator
    };
    let redemptions = read_redemptions_of_user(state.db.reader(), user, viewer, part).await?;
    Ok(page(redemptions, part.limit, state.currency))
}

/// The redemptions of a campaign's promocodes, refused ones too, the newest first.
#[utoipa::path(get, path = "/campaigns/{id}/redemptions",
    security(("access_token" = ["campaigns.read"])),
    params(("id" = CampaignId, Path), PageQuery),
    responses((status = 200, body = Page<RedemptionBody>)))]
pub(super) async fn list_campaign_redemptions(
    State(state): State<AppState>,
    caller: Caller,
    Path(campaign): Path<CampaignId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RedemptionBody>>, Problem> {
    caller.require(Permission::CampaignsRead)?;
    let part = part(&query)?;
    let redemptions = read_redemptions_of_campaign(state.db.reader(), campaign, part).await?;
    let redemptions = redemptions.ok_or_else(|| Problem::not_found("campaign"))?;
    Ok(page(redemptions, part.limit, state.currency))
}

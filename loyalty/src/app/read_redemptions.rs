//! Shows redemptions: users theirs, administrators anyone's.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    contracts::Reason,
    ids::{CampaignId, UserId},
};

use super::Part;
use crate::{
    domain::{decision::mask, redemption::RedemptionStatus},
    store,
};

pub(crate) use crate::store::redemptions::Redemption;

/// A redemption as a customer may see it.
#[derive(Clone, Debug)]
pub(crate) struct ShownRedemption {
    pub redemption: Redemption,
    pub status: RedemptionStatus,
    /// Why it was refused, in the customer's copy; empty if it was not.
    pub reasons: Vec<Reason>,
}

/// A user's redemptions, newest first.
pub(crate) async fn read_redemptions_of_user(
    conn: &impl ConnectionTrait,
    user: UserId,
    part: Part,
) -> Result<Vec<ShownRedemption>, DbErr> {
    show(conn, store::redemptions::list_of_user(conn, user, part).await?).await
}

/// The redemptions of a campaign's promocodes, newest first; none if there is no such campaign.
pub(crate) async fn read_redemptions_of_campaign(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    part: Part,
) -> Result<Option<Vec<ShownRedemption>>, DbErr> {
    if store::campaigns::find(conn, campaign).await?.is_none() {
        return Ok(None);
    }
    let redemptions = store::redemptions::list_of_campaign(conn, campaign, part).await?;
    show(conn, redemptions).await.map(Some)
}

async fn show(
    conn: &impl ConnectionTrait,
    redemptions: Vec<Redemption>,
) -> Result<Vec<ShownRedemption>, DbErr> {
    let refused = RedemptionStatus::Refused.as_str();
    let refused: Vec<_> = redemptions
        .iter()
        .filter(|row| row.status == refused)
        .map(|row| row.purchase_id)
        .collect();
    let mut reasons = store::refusals::reasons_of(conn, &refused).await?;
    let shown = redemptions.into_iter().map(|redemption| {
        Ok(ShownRedemption {
            status: redemption.stands()?,
            reasons: mask(&reasons.remove(&redemption.purchase_id).unwrap_or_default()),
            redemption,
        })
    });
    shown.collect()
}

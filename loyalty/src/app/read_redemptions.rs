//! Shows redemptions: users theirs, administrators anyone's.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    contracts::Reason,
    ids::{CampaignId, UserId},
};

use super::Part;
use crate::{
    domain::{
        masking::{hides_the_promocode, mask},
        redemption::RedemptionStatus,
    },
    store,
};

pub(crate) use crate::store::redemptions::Redemption;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// Sees of a refused one only the masked reasons; and where the promocode is meant for others,
    /// nothing of whose it was: they may not know that there is such a one.
    Customer,
    /// Sees everything.
    Administrator,
}

/// A redemption as its viewer may see it.
#[derive(Clone, Debug)]
pub(crate) struct ShownRedemption {
    pub redemption: Redemption,
    pub status: RedemptionStatus,
    /// Why it was refused; empty if it was not.
    pub reasons: Vec<Reason>,
}

/// A user's redemptions, newest first.
pub(crate) async fn read_redemptions_of_user(
    conn: &impl ConnectionTrait,
    user: UserId,
    viewer: Viewer,
    part: Part,
) -> Result<Vec<ShownRedemption>, DbErr> {
    let redemptions = store::redemptions::list_of_user(conn, user, part).await?;
    show(conn, redemptions, viewer).await
}

/// The redemptions of a campaign's promocodes, refused ones too, newest first, for
/// administrators; none if there is no such campaign.
pub(crate) async fn read_redemptions_of_campaign(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    part: Part,
) -> Result<Option<Vec<ShownRedemption>>, DbErr> {
    if store::campaigns::find(conn, campaign).await?.is_none() {
        return Ok(None);
    }
    let redemptions = store::redemptions::list_of_campaign(conn, campaign, part).await?;
    show(conn, redemptions, Viewer::Administrator).await.map(Some)
}

async fn show(
    conn: &impl ConnectionTrait,
    redemptions: Vec<Redemption>,
    viewer: Viewer,
) -> Result<Vec<ShownRedemption>, DbErr> {
    let refused = RedemptionStatus::Refused.as_str();
    let refused: Vec<_> = redemptions
        .iter()
        .filter(|row| row.status == refused)
        .map(|row| row.purchase_id)
        .collect();
    let mut reasons = store::refusals::reasons_of(conn, &refused).await?;
    let shown = redemptions.into_iter().map(|mut redemption| {
        let status = redemption.stands()?;
        let mut reasons = reasons.remove(&redemption.purchase_id).unwrap_or_default();
        if viewer == Viewer::Customer {
            if hides_the_promocode(&reasons) {
                (redemption.promocode_id, redemption.campaign_id) = (None, None);
            }
            reasons = mask(&reasons, redemption.promocode.as_deref().unwrap_or_default());
        }
        Ok(ShownRedemption {
            redemption,
            status,
            reasons,
        })
    });
    shown.collect()
}

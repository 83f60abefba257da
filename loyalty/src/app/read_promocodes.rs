//! Shows promocodes to administrators.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::CampaignId;

use super::Part;
use crate::store::{self, promocodes::KeptPromocode};

/// The promocodes of a campaign, newest first; none if there is no such campaign.
pub(crate) async fn read_promocodes(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    part: Part,
) -> Result<Option<Vec<KeptPromocode>>, DbErr> {
    if store::campaigns::find(conn, campaign).await?.is_none() {
        return Ok(None);
    }
    store::promocodes::list(conn, campaign, part).await.map(Some)
}

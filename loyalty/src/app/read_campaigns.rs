//! Shows campaigns to administrators.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::CampaignId;

use super::Part;
use crate::store::{self, campaigns::KeptCampaign};

/// One campaign, if there is such a one.
pub(crate) async fn read_campaign(
    conn: &impl ConnectionTrait,
    id: CampaignId,
) -> Result<Option<KeptCampaign>, DbErr> {
    store::campaigns::find(conn, id).await
}

/// All, newest first.
pub(crate) async fn read_campaigns(
    conn: &impl ConnectionTrait,
    part: Part,
) -> Result<Vec<KeptCampaign>, DbErr> {
    store::campaigns::list(conn, part).await
}

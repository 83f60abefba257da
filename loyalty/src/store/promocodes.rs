//! Promocodes.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::OnConflict,
};
use shared::{clock::Instant, ids::CampaignId};

use super::{page::Part, unreadable};
use crate::domain::promocode::{Promocode, PromocodeCode};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{CampaignId, PromocodeId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "promocodes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: PromocodeId,
        pub campaign_id: CampaignId,
        /// In its normal form.
        pub code: String,
        pub max_uses: Option<i64>,
        pub disabled: bool,
        pub created_at: Instant,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A promocode as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptPromocode {
    /// The promocode.
    pub promocode: Promocode,
    /// When it was made.
    pub created_at: Instant,
}

fn read(row: Model) -> Result<KeptPromocode, DbErr> {
    Ok(KeptPromocode {
        promocode: Promocode {
            id: row.id,
            campaign_id: row.campaign_id,
            code: PromocodeCode::parse(&row.code).map_err(|_| unreadable("promocode", &row.code))?,
            max_uses: row.max_uses,
            disabled: row.disabled,
        },
        created_at: row.created_at,
    })
}

/// Keeps a promocode; false if there is one with this code already.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    promocode: &Promocode,
    now: Instant,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(promocode.id),
        campaign_id: Set(promocode.campaign_id),
        code: Set(promocode.code.as_str().to_owned()),
        max_uses: Set(promocode.max_uses),
        disabled: Set(promocode.disabled),
        created_at: Set(now),
    };
    let inserted = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Code).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted == 1)
}

/// The promocodes with these codes.
pub(crate) async fn find_by_codes(
    conn: &impl ConnectionTrait,
    codes: impl IntoIterator<Item = &PromocodeCode>,
) -> Result<Vec<Promocode>, DbErr> {
    let codes = codes.into_iter().map(PromocodeCode::as_str);
    let rows = Entity::find().filter(Column::Code.is_in(codes)).all(conn).await?;
    rows.into_iter()
        .map(|row| read(row).map(|kept| kept.promocode))
        .collect()
}

/// The promocode with this code.
pub(crate) async fn find_by_code(
    conn: &impl ConnectionTrait,
    code: &PromocodeCode,
) -> Result<Option<Promocode>, DbErr> {
    Ok(find_by_codes(conn, [code]).await?.pop())
}

/// The promocodes of a campaign, newest first.
pub(crate) async fn list(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    part: Part,
) -> Result<Vec<KeptPromocode>, DbErr> {
    let of_campaign = Entity::find().filter(Column::CampaignId.eq(campaign));
    let rows = part
        .of(of_campaign, Column::CreatedAt, Column::Id)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}

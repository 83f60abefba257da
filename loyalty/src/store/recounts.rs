//! What becomes of counts when a campaign's limits change. The campaign is locked, so that no use
//! of it is taken meanwhile; uses may still be given back, which changes a redemption and adds a
//! returned use in one commit.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Statement,
    sea_query::{Expr, ExprTrait as _},
};
use shared::ids::CampaignId;

use super::{counters, redemptions};
use crate::domain::redemption::RedemptionStatus;

/// Which of a campaign's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CampaignLimit {
    /// Of all its uses.
    Total,
    /// Of each user's.
    PerUser,
}

/// Begins to count uses for a limit that the campaign did not have: those that are taken count
/// from now on, so that each is taken off again when it comes back.
pub(crate) async fn begin(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    limit: CampaignLimit,
) -> Result<(), DbErr> {
    let counted = match limit {
        CampaignLimit::Total => redemptions::Column::CountedCampaign,
        CampaignLimit::PerUser => redemptions::Column::CountedUser,
    };
    let taking = RedemptionStatus::ALL
        .into_iter()
        .filter(|status| status.takes_a_use())
        .map(RedemptionStatus::as_str);
    // Waits for those who settle one of them now, and looks at it again then.
    redemptions::Entity::update_many()
        .col_expr(counted, Expr::value(true))
        .filter(redemptions::Column::CampaignId.eq(campaign))
        .filter(redemptions::Column::Status.is_in(taking))
        .filter(counted.eq(false))
        .exec(conn)
        .await?;
    let (kind, user, column) = match limit {
        CampaignLimit::Total => (counters::CAMPAIGN, "$3", "counted_campaign"),
        CampaignLimit::PerUser => (counters::USER, "user_id", "counted_user"),
    };
    // One statement, so that it sees a use either as taken or as given back and not taken off yet.
    let sql = format!(
        "INSERT INTO counters (scope, scope_id, user_id, used) \
         SELECT $1, $2, who, COUNT(*) FROM ( \
         SELECT {user} AS who FROM redemptions \
         WHERE campaign_id = $2 AND {column} AND status IN ('held', 'confirmed') \
         UNION ALL SELECT user_id FROM returned_uses WHERE scope = $1 AND scope_id = $2 \
         ) AS uses GROUP BY who \
         ON CONFLICT (scope, scope_id, user_id) DO UPDATE SET used = excluded.used, max_uses = NULL"
    );
    let values = [kind.into(), campaign.0.into(), counters::EVERYBODY.0.into()];
    let used = match limit {
        CampaignLimit::Total => &values[..],
        CampaignLimit::PerUser => &values[..2],
    };
    let backend = conn.get_database_backend();
    conn.execute_raw(Statement::from_sql_and_values(backend, sql, used.to_vec()))
        .await?;
    Ok(())
}

/// Keeps the campaign's counts under another limit, or under none. One that counts more already
/// may stay where it is: no more is admitted until enough came back.
pub(crate) async fn set_limit(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    limit: CampaignLimit,
    max_uses: Option<i64>,
) -> Result<(), DbErr> {
    let kind = match limit {
        CampaignLimit::Total => counters::CAMPAIGN,
        CampaignLimit::PerUser => counters::USER,
    };
    let kept = match max_uses {
        Some(most) => Expr::case(
            Expr::col(counters::Column::Used).gt(most),
            Expr::col(counters::Column::Used),
        )
        .finally(most)
        .into(),
        None => Expr::value(Option::<i64>::None),
    };
    counters::Entity::update_many()
        .col_expr(counters::Column::MaxUses, kept)
        .filter(counters::Column::Scope.eq(kind))
        .filter(counters::Column::ScopeId.eq(campaign.0))
        .exec(conn)
        .await?;
    Ok(())
}

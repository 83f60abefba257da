//! What becomes of counts when a campaign's limits change, whose uses were not counted before. None
//! of its uses is taken meanwhile; some may be given back, which changes a redemption and adds a
//! returned use in one commit.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Statement, Value,
    sea_query::{Expr, ExprTrait as _},
};
use shared::ids::{CampaignId, UserId};

use super::{CHUNK, counters};

/// Begins to count all uses of a campaign that this transaction has locked, and that had no limit:
/// those that are taken count from now on.
pub(crate) async fn begin_total(conn: &impl ConnectionTrait, campaign: CampaignId) -> Result<(), DbErr> {
    // One statement, so that it sees a use either as taken or as given back and not taken off yet.
    let sql = "INSERT INTO counters (scope, scope_id, user_id, used) \
        SELECT $1, $2, $3, COUNT(*) FROM ( \
        SELECT purchase_id FROM redemptions WHERE campaign_id = $2 AND status IN ('held', 'confirmed') \
        UNION ALL SELECT purchase_id FROM returned_uses WHERE scope = $1 AND scope_id = $2 \
        ) AS uses WHERE true \
        ON CONFLICT (scope, scope_id, user_id) DO UPDATE SET used = excluded.used, max_uses = NULL";
    let values: [Value; 3] = [
        counters::CAMPAIGN.into(),
        campaign.0.into(),
        counters::EVERYBODY.0.into(),
    ];
    run(conn, sql, values).await
}

/// Keeps the count of all uses under another limit, or under none. One that counts more already
/// may stay where it is: no more is admitted until enough came back.
pub(crate) async fn limit_total(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    max_uses: Option<i64>,
) -> Result<(), DbErr> {
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
        .filter(counters::Column::Scope.eq(counters::CAMPAIGN))
        .filter(counters::Column::ScopeId.eq(campaign.0))
        .exec(conn)
        .await?;
    Ok(())
}

/// Begins to count each user's uses of a campaign that this transaction has locked, and that had no
/// such limit: what an earlier one has counted lacks what was taken since. There may be very many
/// users, so that each is counted when they ask again.
pub(crate) async fn begin_users(conn: &impl ConnectionTrait, campaign: CampaignId) -> Result<(), DbErr> {
    counters::Entity::delete_many()
        .filter(counters::Column::Scope.eq(counters::USER))
        .filter(counters::Column::ScopeId.eq(campaign.0))
        .exec(conn)
        .await?;
    Ok(())
}

/// Makes the counts of these users, as far as they have taken uses and nobody else makes them. The
/// transaction shares the campaign, and the users are sorted.
pub(super) async fn count_users(
    conn: &impl ConnectionTrait,
    campaign: CampaignId,
    users: &[UserId],
) -> Result<(), DbErr> {
    for chunk in users.chunks(CHUNK) {
        let places: Vec<_> = (0..chunk.len()).map(|user| format!("${}", user + 3)).collect();
        let users = places.join(", ");
        // One statement, as above. One that is being taken now is counted by who takes it, who has
        // made the count before.
        let sql = format!(
            "INSERT INTO counters (scope, scope_id, user_id, used) \
             SELECT $1, $2, user_id, COUNT(*) FROM ( \
             SELECT user_id FROM redemptions WHERE campaign_id = $2 AND user_id IN ({users}) \
             AND status IN ('held', 'confirmed') \
             UNION ALL SELECT user_id FROM returned_uses \
             WHERE scope = $1 AND scope_id = $2 AND user_id IN ({users}) \
             ) AS uses GROUP BY user_id ORDER BY user_id \
             ON CONFLICT (scope, scope_id, user_id) DO NOTHING"
        );
        let values: [Value; 2] = [counters::USER.into(), campaign.0.into()];
        let values = values.into_iter().chain(chunk.iter().map(|user| user.0.into()));
        run(conn, &sql, values).await?;
    }
    Ok(())
}

async fn run(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    conn.execute_raw(statement).await?;
    Ok(())
}

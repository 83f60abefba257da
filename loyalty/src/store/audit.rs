//! What must be true of loyalty's tables, as queries that find what is not.

use shared::reconcile::{Check, check, check_before};

/// Every rule of loyalty's own tables.
pub(crate) const CHECKS: &[Check] = &[
    check(
        "a counter of uses is the number of redemptions that take one",
        // One pass over each table, both ways round: a counter without redemptions and redemptions
        // without a counter are found too. But a user's counter that is to be made from their
        // redemptions (see `counters`) need not be there yet.
        "SELECT scope_id AS id, scope || ' counts ' || CAST(SUM(used) AS TEXT) || ', redemptions are ' \
         || CAST(SUM(taken) AS TEXT) AS detail FROM ( \
         SELECT scope, scope_id, CASE WHEN scope = 'user' THEN user_id END AS user_id, used, 0 AS taken, 1 AS made \
         FROM counters \
         UNION ALL SELECT scope, scope_id, CASE WHEN scope = 'user' THEN user_id END, -1, 0, \
         CASE WHEN scope = 'user' THEN 0 ELSE 1 END FROM returned_uses \
         UNION ALL SELECT 'campaign', campaign_id, NULL, 0, 1, 1 FROM redemptions r LEFT JOIN campaigns c ON c.id = r.campaign_id \
         WHERE r.status IN ('held', 'confirmed') AND (counted_campaign OR campaign_version < total_recounted_in) \
         UNION ALL SELECT 'promocode', promocode_id, NULL, 0, 1, 1 FROM redemptions \
         WHERE status IN ('held', 'confirmed') AND counted_promocode \
         UNION ALL SELECT 'user', campaign_id, user_id, 0, 1, \
         CASE WHEN campaign_version < users_recounted_in THEN 0 ELSE 1 END \
         FROM redemptions r LEFT JOIN campaigns c ON c.id = r.campaign_id \
         WHERE r.status IN ('held', 'confirmed') AND (counted_user OR campaign_version < users_recounted_in) \
         ) AS uses GROUP BY scope, scope_id, user_id HAVING SUM(used) <> SUM(taken) AND SUM(made) > 0",
    ),
    check(
        "a promocode is not used more often than it may be",
        "SELECT p.id AS id, p.code || ' has ' || CAST(COUNT(r.purchase_id) AS TEXT) || ' uses of ' || CAST(p.max_uses AS TEXT) AS detail \
         FROM promocodes p JOIN redemptions r ON r.promocode_id = p.id AND r.status IN ('held', 'confirmed') \
         WHERE p.max_uses IS NOT NULL GROUP BY p.id, p.code, p.max_uses HAVING COUNT(r.purchase_id) > p.max_uses",
    ),
    check(
        "a campaign is not used more often than it may be",
        // By what its count was kept under: a limit that was lowered below what was used admits nothing
        // more, and takes nothing back.
        "SELECT c.scope_id AS id, CAST(COUNT(r.purchase_id) AS TEXT) || ' uses of ' || CAST(c.max_uses AS TEXT) AS detail \
         FROM counters c JOIN redemptions r ON r.campaign_id = c.scope_id AND r.status IN ('held', 'confirmed') \
         WHERE c.scope = 'campaign' AND c.max_uses IS NOT NULL GROUP BY c.scope_id, c.max_uses \
         HAVING COUNT(r.purchase_id) > c.max_uses",
    ),
    check(
        "a use goes back after a refund only where the terms say so",
        "SELECT purchase_id AS id, 'returned, though it was to be kept' AS detail FROM redemptions \
         WHERE status = 'returned' AND NOT returns_use",
    ),
    check(
        "a refused redemption has its reasons",
        "SELECT r.purchase_id AS id, 'refused without reasons' AS detail FROM redemptions r \
         LEFT JOIN refusals f ON f.purchase_id = r.purchase_id WHERE r.status = 'refused' AND f.id IS NULL",
    ),
    check_before(
        "nothing waits for a use for longer than its purchase takes",
        "SELECT purchase_id AS id, 'still waits' AS detail FROM waiting_holds WHERE arrived_at < $1",
    ),
    check_before(
        "no use is held for longer than its purchase takes",
        "SELECT purchase_id AS id, 'still held' AS detail FROM redemptions WHERE status = 'held' AND created_at < $1",
    ),
];

//! What must be true of loyalty's tables, as queries that find what is not.

use shared::reconcile::{Check, check, check_before};

/// Every rule of loyalty's own tables.
pub(crate) const CHECKS: &[Check] = &[
    check(
        "a counter of uses is the number of redemptions that take one",
        "SELECT c.scope_id AS id, c.scope || ' counts ' || CAST(c.used AS TEXT) || ', redemptions are ' || CAST(( \
         SELECT COUNT(*) FROM redemptions r WHERE r.status IN ('held', 'confirmed') AND ( \
         (c.scope = 'campaign' AND r.counted_campaign AND r.campaign_id = c.scope_id) OR \
         (c.scope = 'promocode' AND r.counted_promocode AND r.promocode_id = c.scope_id) OR \
         (c.scope = 'user' AND r.counted_user AND r.campaign_id = c.scope_id AND r.user_id = c.user_id))) AS TEXT) AS detail \
         FROM counters c WHERE c.used <> ( \
         SELECT COUNT(*) FROM redemptions r WHERE r.status IN ('held', 'confirmed') AND ( \
         (c.scope = 'campaign' AND r.counted_campaign AND r.campaign_id = c.scope_id) OR \
         (c.scope = 'promocode' AND r.counted_promocode AND r.promocode_id = c.scope_id) OR \
         (c.scope = 'user' AND r.counted_user AND r.campaign_id = c.scope_id AND r.user_id = c.user_id)))",
    ),
    check(
        "a promocode is not used more often than it may be",
        "SELECT p.id AS id, p.code || ' has ' || CAST(COUNT(r.purchase_id) AS TEXT) || ' uses of ' || CAST(p.max_uses AS TEXT) AS detail \
         FROM promocodes p JOIN redemptions r ON r.promocode_id = p.id AND r.status IN ('held', 'confirmed') \
         WHERE p.max_uses IS NOT NULL GROUP BY p.id, p.code, p.max_uses HAVING COUNT(r.purchase_id) > p.max_uses",
    ),
    check(
        "a campaign is not used more often than it may be",
        "SELECT c.id AS id, c.name || ' has ' || CAST(COUNT(r.purchase_id) AS TEXT) || ' uses of ' || CAST(c.max_redemptions AS TEXT) AS detail \
         FROM campaigns c JOIN redemptions r ON r.campaign_id = c.id AND r.status IN ('held', 'confirmed') \
         WHERE c.max_redemptions IS NOT NULL GROUP BY c.id, c.name, c.max_redemptions HAVING COUNT(r.purchase_id) > c.max_redemptions",
    ),
    check(
        "a refused redemption has its reasons",
        "SELECT r.purchase_id AS id, 'refused without reasons' AS detail FROM redemptions r \
         LEFT JOIN refusals f ON f.purchase_id = r.purchase_id WHERE r.status = 'refused' AND f.id IS NULL",
    ),
    check_before(
        "no use is held for longer than its purchase takes",
        "SELECT purchase_id AS id, 'still held' AS detail FROM redemptions WHERE status = 'held' AND created_at < $1",
    ),
];

//! What must be true of billing's tables, as queries that find what is not.

use sea_orm::{DbErr, QueryResult};
use shared::{
    clock::Instant,
    reconcile::{Check, check, check_before, check_each},
};

use super::subscription::ChainColumns;

/// Every rule of billing's own tables.
pub const CHECKS: &[Check] = &[
    check(
        "a wallet's balance is the sum of its postings",
        "SELECT a.id AS id, CAST(a.balance AS TEXT) || ' is not ' || CAST(COALESCE(SUM(p.amount), 0) AS TEXT) AS detail \
         FROM accounts a LEFT JOIN postings p ON p.account_id = a.id WHERE a.kind = 'wallet' \
         GROUP BY a.id, a.balance HAVING a.balance <> COALESCE(SUM(p.amount), 0)",
    ),
    check(
        "no wallet is below zero",
        "SELECT id, CAST(balance AS TEXT) AS detail FROM accounts WHERE kind = 'wallet' AND (balance IS NULL OR balance < 0)",
    ),
    check(
        "a transfer has two postings that add up to zero and say what it says",
        "SELECT t.id AS id, CAST(COUNT(p.account_id) AS TEXT) || ' postings, sum ' || CAST(COALESCE(SUM(p.amount), 0) AS TEXT) AS detail \
         FROM transfers t LEFT JOIN postings p ON p.transfer_id = t.id \
         GROUP BY t.id, t.amount, t.source_id, t.destination_id HAVING COUNT(p.account_id) <> 2 OR SUM(p.amount) <> 0 \
         OR SUM(CASE WHEN p.account_id = t.source_id AND p.amount = -t.amount THEN 1 \
         WHEN p.account_id = t.destination_id AND p.amount = t.amount THEN 1 ELSE 0 END) <> 2",
    ),
    check(
        "a posting belongs to a transfer and an account",
        "SELECT p.transfer_id AS id, 'posting without its transfer or account' AS detail FROM postings p \
         LEFT JOIN transfers t ON t.id = p.transfer_id LEFT JOIN accounts a ON a.id = p.account_id \
         WHERE t.id IS NULL OR a.id IS NULL",
    ),
    check(
        "a paid purchase has one subscription, and no other has any",
        "SELECT p.id AS id, p.state || ', ' || CAST(COUNT(s.id) AS TEXT) || ' subscriptions' AS detail \
         FROM purchases p LEFT JOIN subscriptions s ON s.purchase_id = p.id GROUP BY p.id, p.state \
         HAVING COUNT(s.id) <> CASE WHEN p.state IN ('paid', 'refunded') THEN 1 ELSE 0 END",
    ),
    check(
        "a subscription has its purchase",
        "SELECT s.id AS id, 'no such purchase' AS detail FROM subscriptions s \
         LEFT JOIN purchases p ON p.id = s.purchase_id WHERE p.id IS NULL",
    ),
    check(
        "a purchase is charged once what it says, and only if it is paid",
        "SELECT p.id AS id, p.state || ', charged ' || CAST(COALESCE(SUM(t.amount), 0) AS TEXT) || ' by ' \
         || CAST(COUNT(t.id) AS TEXT) || ' transfers' AS detail \
         FROM purchases p LEFT JOIN transfers t ON t.cause_kind = 'purchase' AND t.cause_id = p.id AND t.user_id = p.user_id \
         GROUP BY p.id, p.state, p.charged HAVING COALESCE(SUM(t.amount), 0) <> COALESCE(p.charged, 0) \
         OR COUNT(t.id) <> CASE WHEN COALESCE(p.charged, 0) > 0 THEN 1 ELSE 0 END",
    ),
    check(
        "a refunded purchase is given back once, and no other is",
        "SELECT p.id AS id, p.state || ', given back ' || CAST(COALESCE(SUM(t.amount), 0) AS TEXT) AS detail \
         FROM purchases p LEFT JOIN transfers t ON t.cause_kind = 'refund' AND t.cause_id = p.id AND t.user_id = p.user_id \
         GROUP BY p.id, p.state, p.charged, p.refunded_at, p.refund_reason, p.refund_balance_after \
         HAVING COALESCE(SUM(t.amount), 0) <> CASE WHEN p.state = 'refunded' THEN COALESCE(p.charged, 0) ELSE 0 END \
         OR (p.state = 'refunded') <> (p.refunded_at IS NOT NULL) OR (p.state = 'refunded') <> (p.refund_reason IS NOT NULL) \
         OR (p.state = 'refunded') <> (p.refund_balance_after IS NOT NULL)",
    ),
    check(
        "what a refunded purchase gave has ended",
        "SELECT s.id AS id, 'ends after the refund' AS detail FROM subscriptions s \
         JOIN purchases p ON p.id = s.purchase_id WHERE p.state = 'refunded' AND s.ends_at > p.refunded_at \
         AND s.ends_at > s.starts_at",
    ),
    check_each(
        "a subscription ends where its anchor says",
        "SELECT s.id AS id, s.starts_at AS starts_at, s.ends_at AS ends_at, s.anchor_at AS anchor_at, \
         s.anchor_zone AS anchor_zone, s.anchor_months AS anchor_months, s.anchor_days AS anchor_days \
         FROM subscriptions s JOIN purchases p ON p.id = s.purchase_id LEFT JOIN users u ON u.id = s.user_id \
         WHERE s.anchor_at IS NOT NULL AND p.state = 'paid' AND (u.status IS NULL OR u.status <> 'deleted')",
        ends_elsewhere,
    ),
    check(
        "subscriptions of a user to a tariff do not overlap",
        "SELECT s.id AS id, 'another one starts before it ends' AS detail FROM subscriptions s \
         JOIN subscriptions n ON n.user_id = s.user_id AND n.tariff_id = s.tariff_id AND n.id <> s.id \
         AND n.starts_at >= s.starts_at AND n.starts_at < s.ends_at AND n.ends_at > n.starts_at \
         WHERE s.ends_at > s.starts_at",
    ),
    check(
        "an approved top-up is credited once, and no other is",
        "SELECT u.id AS id, u.state || ', credited ' || CAST(COALESCE(SUM(t.amount), 0) AS TEXT) AS detail \
         FROM top_ups u LEFT JOIN transfers t ON t.cause_kind = 'top_up' AND t.cause_id = u.id AND t.user_id = u.user_id \
         GROUP BY u.id, u.state, u.amount \
         HAVING COALESCE(SUM(t.amount), 0) <> CASE WHEN u.state = 'approved' THEN u.amount ELSE 0 END",
    ),
    check(
        "a withdrawal is debited once if it was done, and else not",
        "SELECT w.id AS id, w.state || ', debited ' || CAST(COALESCE(SUM(t.amount), 0) AS TEXT) AS detail \
         FROM withdrawals w LEFT JOIN transfers t ON t.cause_kind = 'withdrawal' AND t.cause_id = w.id AND t.user_id = w.user_id \
         GROUP BY w.id, w.state, w.amount \
         HAVING COALESCE(SUM(t.amount), 0) <> CASE WHEN w.state = 'done' THEN w.amount ELSE 0 END",
    ),
    check(
        "an adjustment is one transfer of what it says",
        "SELECT a.id AS id, a.direction || ' of ' || CAST(a.amount AS TEXT) || ', moved ' || CAST(COALESCE(SUM(t.amount), 0) AS TEXT) AS detail \
         FROM adjustments a LEFT JOIN transfers t ON t.cause_kind = a.direction AND t.cause_id = a.id AND t.user_id = a.user_id \
         GROUP BY a.id, a.direction, a.amount HAVING COALESCE(SUM(t.amount), 0) <> a.amount",
    ),
    check(
        "a deleted user's wallet is empty",
        "SELECT a.id AS id, CAST(a.balance AS TEXT) AS detail FROM accounts a JOIN users u ON u.id = a.user_id \
         WHERE u.status = 'deleted' AND a.balance <> 0",
    ),
    check(
        "a transfer has what caused it",
        "SELECT t.id AS id, t.cause_kind AS detail FROM transfers t WHERE NOT EXISTS \
         (SELECT 1 FROM purchases p WHERE p.id = t.cause_id AND t.cause_kind IN ('purchase', 'refund')) \
         AND NOT EXISTS (SELECT 1 FROM top_ups u WHERE u.id = t.cause_id AND t.cause_kind = 'top_up') \
         AND NOT EXISTS (SELECT 1 FROM withdrawals w WHERE w.id = t.cause_id AND t.cause_kind = 'withdrawal') \
         AND NOT EXISTS (SELECT 1 FROM adjustments a WHERE a.id = t.cause_id AND t.cause_kind = a.direction) \
         AND NOT EXISTS (SELECT 1 FROM users d WHERE d.id = t.cause_id AND t.cause_kind = 'forfeiture') \
         AND NOT EXISTS (SELECT 1 FROM transfers o WHERE o.id = t.cause_id AND t.cause_kind = 'forfeiture')",
    ),
    check_before(
        "no purchase waits past its deadline",
        "SELECT id, 'still pending' AS detail FROM purchases WHERE state = 'pending' AND deadline < $1",
    ),
    check(
        "a wallet's newest transfer shows what it holds",
        "SELECT a.id AS id, CAST(a.balance AS TEXT) || ' is not ' || CAST(t.balance_after AS TEXT) AS detail \
         FROM accounts a JOIN transfers t ON t.user_id = a.user_id WHERE a.kind = 'wallet' AND t.balance_after <> a.balance \
         AND NOT EXISTS (SELECT 1 FROM transfers n WHERE n.user_id = t.user_id AND n.at > t.at)",
    ),
];

/// What must be true at an instant that is some time ahead, so that clocks may differ.
pub const LATER_CHECKS: &[Check] = &[check_before(
    "a deleted user's subscriptions have ended",
    "SELECT s.id AS id, 'it still runs' AS detail FROM subscriptions s JOIN users u ON u.id = s.user_id \
     WHERE u.status = 'deleted' AND s.ends_at > $1 AND s.ends_at > s.starts_at",
)];

/// What must be true of what began before the instant that these take, the platform's own
/// patience with others.
pub const SLOW_CHECKS: &[Check] = &[check_before(
    "a payment provider decides about a top-up",
    "SELECT id, 'undecided by ' || provider || ', asked ' || CAST(asks AS TEXT) || ' times' AS detail \
     FROM top_ups WHERE state = 'pending' AND requested_at < $1",
)];

/// What is wrong with the end of a subscription whose anchor is known.
fn ends_elsewhere(row: &QueryResult) -> Result<Option<String>, DbErr> {
    let (starts_at, ends_at): (Instant, Instant) =
        (row.try_get("", "starts_at")?, row.try_get("", "ends_at")?);
    let kept = ChainColumns {
        at: row.try_get("", "anchor_at")?,
        zone: row.try_get("", "anchor_zone")?,
        months: row.try_get("", "anchor_months")?,
        days: row.try_get("", "anchor_days")?,
    };
    let Some(chain) = kept.read() else {
        return Ok(Some("its anchor can't be read".to_owned()));
    };
    let counted = chain.end_in_time().max(starts_at);
    Ok((counted != ends_at).then(|| format!("it ends at {ends_at}, the anchor says {counted}")))
}

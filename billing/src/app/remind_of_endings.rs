//! Tells users that their subscriptions end.

use chrono::Duration;
use sea_orm::DbErr;
use shared::{
    contracts::SubscriptionEndingV1,
    db::{Db, Tx},
};

use crate::{domain::subscription::is_worth_a_reminder, store};

/// Subscriptions in one transaction.
const BATCH: u64 = 100;

/// Announces, once, each subscription that ends within `notice` and that nothing follows. Replicas
/// may do so side by side: each subscription is in one's hands.
///
/// # Errors
/// When the database does not answer.
pub async fn remind_of_endings(db: &Db, notice: Duration) -> Result<(), DbErr> {
    loop {
        let now = db.now();
        // Looking costs no write transaction; most of the time there is nothing.
        if !store::subscription::any_ending(db.reader(), now, now + notice).await? {
            return Ok(());
        }
        let decided = db.write(|tx| async move { remind(&tx, notice).await }).await?;
        // The rest is in another replica's hands.
        if decided == 0 {
            return Ok(());
        }
    }
}

/// Decides about one batch, and says of how many.
async fn remind(tx: &Tx, notice: Duration) -> Result<usize, DbErr> {
    let (conn, now) = (tx.conn(), tx.now());
    let ending = store::subscription::lock_ending(conn, now, now + notice, BATCH).await?;
    if ending.is_empty() {
        return Ok(0);
    }
    let purchases = ending.iter().map(|ending| ending.purchase_id);
    let names = store::purchase::tariff_names(conn, purchases).await?;
    store::subscription::mark_ending_said(conn, ending.iter().map(|ending| ending.id), now).await?;
    for ending in ending.iter().filter(|ending| is_worth_a_reminder(ending, notice)) {
        tx.emit(&SubscriptionEndingV1 {
            subscription_id: ending.id,
            user_id: ending.user_id,
            tariff_id: ending.tariff_id,
            tariff_name: names.get(&ending.purchase_id).cloned().unwrap_or_default(),
            ends_at: ending.ends_at,
        })?;
    }
    Ok(ending.len())
}

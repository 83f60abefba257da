//! Carries on with top-ups that a crash, or a provider that did not decide, left pending.

use sea_orm::DbErr;
use shared::db::{Db, Tx, is_outage};

use super::{
    books::Books,
    top_up_wallet::{TopUp, ask_provider, take_in_hand},
};
use crate::{providers::PaymentProvider, store};

/// Top-ups in one run; the next run takes the rest.
const BATCH: usize = 50;

/// Asks `provider` again about the top-ups that it is time to ask about, with growing pauses for
/// each. Replicas may do so side by side: each top-up is in one's hands. One that can't be finished
/// keeps no other from its money.
///
/// # Errors
/// When the database does not answer.
pub async fn finish_top_ups(db: &Db, books: &Books, provider: &dyn PaymentProvider) -> Result<(), DbErr> {
    for _ in 0..BATCH {
        // Looking costs no write transaction; most of the time there is nothing.
        if !store::top_up::any_due(db.reader(), provider.name().as_str(), db.now()).await? {
            break;
        }
        let next = db
            .write(|tx| async move { take_next(&tx, provider).await })
            .await?;
        let Some(top_up) = next else {
            break;
        };
        match ask_provider(db, books, provider, &top_up).await {
            Ok(top_up) => {
                tracing::info!(top_up = %top_up.id, state = ?top_up.state, "an undecided top-up was asked about again");
            }
            Err(error) => {
                let outage = is_outage(&error);
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(top_up = %top_up.id, error, "a top-up can't be finished");
                if outage {
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn take_next(tx: &Tx, provider: &dyn PaymentProvider) -> Result<Option<TopUp>, DbErr> {
    match store::top_up::lock_due(tx.conn(), provider.name().as_str(), tx.now()).await? {
        Some(due) => Ok(Some(take_in_hand(tx, due).await?)),
        None => Ok(None),
    }
}

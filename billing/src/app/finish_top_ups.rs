//! Carries on with top-ups that a crash, or a provider that did not answer, left undecided.

use chrono::Duration;
use shared::db::Db;

use super::{
    books::Books,
    top_up_wallet::{TopUpError, ask_provider},
};
use crate::{providers::PaymentProvider, store};

/// Younger ones are in the hands of their request.
const LEFT_ALONE: Duration = Duration::seconds(60);
/// Top-ups in one run; the next run takes the rest.
const BATCH: u64 = 50;

/// Asks `provider` again about every top-up that has long been pending. Replicas may do so side
/// by side: the provider charges once, and the wallet is credited once.
///
/// # Errors
/// When the provider does not answer, or the database refuses.
pub async fn finish_top_ups(
    db: &Db,
    books: &Books,
    provider: &dyn PaymentProvider,
) -> Result<(), TopUpError> {
    let before = db.now() - LEFT_ALONE;
    let left = store::top_up::pending_since(db.reader(), provider.name().as_str(), before, BATCH).await?;
    for top_up in left {
        match ask_provider(db, books, provider, &top_up).await {
            Ok(top_up) => {
                tracing::info!(top_up = %top_up.id, state = ?top_up.state, "an undecided top-up was asked about again")
            }
            Err(error @ (TopUpError::Provider(_) | TopUpError::Store(_))) => return Err(error),
            // It must not keep the others from their money.
            Err(error) => tracing::error!(top_up = %top_up.id, %error, "a top-up can't be finished"),
        }
    }
    Ok(())
}

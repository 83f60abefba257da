//! A payment provider tells what it has decided about a top-up.

use sea_orm::DbErr;
use shared::{db::Tx, ids::TopUpId};

use super::{
    books::Books,
    top_up_wallet::{AskError, TopUp, TopUpState, settle},
};
use crate::{domain::ledger::ProviderName, providers::Outcome, store};

/// Why a decision is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// That provider was never asked for such a top-up.
    #[error("there is no such top-up")]
    NotFound,
    /// The top-up has ended the other way, and that stands.
    #[error("the top-up was decided otherwise")]
    DecidedOtherwise,
    /// It could not be written.
    #[error("the decision could not be written")]
    Settle(#[from] AskError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Writes what `provider` has decided about the top-up `id`: the first decision stands. The same
/// one again, however late, changes nothing.
///
/// # Errors
/// When there is no such top-up, or it was decided otherwise.
pub async fn decide_top_up(
    tx: &Tx,
    books: &Books,
    provider: &ProviderName,
    id: TopUpId,
    outcome: &Outcome,
) -> Result<TopUp, DecideError> {
    let known = store::top_up::find(tx.conn(), id).await?;
    if known.is_none_or(|top_up| top_up.provider != provider.as_str()) {
        return Err(DecideError::NotFound);
    }
    let top_up = settle(tx, books, id, outcome).await?;
    match (outcome, top_up.state) {
        (Outcome::Approved, TopUpState::Approved)
        | (Outcome::Declined { .. }, TopUpState::Declined)
        | (Outcome::Pending, _) => Ok(top_up),
        _ => Err(DecideError::DecidedOtherwise),
    }
}

//! `Idempotency-Key`: the first request with a key does the operation, a repeat finds it.

use sea_orm::DbErr;
use shared::{db::Tx, ids::UserId};
use uuid::Uuid;

use crate::{
    domain::idempotency::{Decision, IdempotencyKey, RequestHash, Stored, decide},
    store,
};

/// A key, and what is asked for under it.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The key.
    pub key: IdempotencyKey,
    /// What is asked for.
    pub hash: RequestHash,
}

/// The operation that a key is to name.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Whose.
    pub user_id: UserId,
    /// What kind: `top_up`.
    pub kind: &'static str,
    /// The id it has if it is done now.
    pub id: Uuid,
}

/// What a request with a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The first, or one without a key: do it.
    First,
    /// The same again: show this operation.
    Repeat(Uuid),
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It names another request.
    #[error("the key was used for another request")]
    Mismatch,
    /// The first request with it has not come to its end.
    #[error("the first request with this key is still running")]
    InFlight,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Takes the key for `operation`, in the transaction that does it.
///
/// # Errors
/// When it names another request, or the first one with it is still running.
pub async fn claim_key(tx: &Tx, keyed: Option<&Keyed>, operation: Operation) -> Result<Claim, ClaimError> {
    let Some(Keyed { key, hash }) = keyed else {
        return Ok(Claim::First);
    };
    if !store::idempotency::try_lock(tx.conn(), operation.user_id, key).await? {
        return Err(ClaimError::InFlight);
    }
    let row = store::idempotency::find(tx.conn(), operation.user_id, key).await?;
    let stored = row
        .as_ref()
        .and_then(|row| RequestHash::from_bytes(&row.request_hash))
        .map(|hash| Stored { hash });
    match (decide(stored.as_ref(), *hash), row) {
        (Decision::Repeat, Some(row)) => Ok(Claim::Repeat(row.operation_id)),
        (Decision::First, None) => remember(tx, keyed, operation).await,
        _ => Err(ClaimError::Mismatch),
    }
}

async fn remember(tx: &Tx, keyed: Option<&Keyed>, operation: Operation) -> Result<Claim, ClaimError> {
    let Some(Keyed { key, hash }) = keyed else {
        return Ok(Claim::First);
    };
    let row = store::idempotency::entity::Model {
        user_id: operation.user_id,
        key: key.as_str().to_owned(),
        operation: operation.kind.to_owned(),
        operation_id: operation.id,
        request_hash: hash.as_bytes().to_vec(),
        created_at: tx.now(),
    };
    if store::idempotency::insert(tx.conn(), row).await? {
        Ok(Claim::First)
    } else {
        Err(ClaimError::InFlight)
    }
}

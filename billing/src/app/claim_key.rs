//! `Idempotency-Key`: the first request with a key does the operation, a repeat finds it.

use std::collections::BTreeSet;

use sea_orm::DbErr;
use shared::{
    contracts::UserStatus,
    db::{Tx, race},
    ids::UserId,
    users,
};
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

/// An operation, with the key that is to name it, if any.
pub type MaybeKeyed<'k> = (Option<&'k Keyed>, Operation);

/// Takes the key for `operation`, in the transaction that does it.
///
/// # Errors
/// When it names another request, or the first one with it is still running.
pub async fn claim_key(tx: &Tx, keyed: Option<&Keyed>, operation: Operation) -> Result<Claim, ClaimError> {
    let claim = check_keys(tx, &[(keyed, operation)]).await?.pop();
    let claim = claim.unwrap_or(Ok(Claim::First))?;
    if claim == Claim::First && !is_forgotten(tx, keyed, operation.user_id).await? {
        remember_keys(tx, &[(keyed, operation)]).await?;
    }
    Ok(claim)
}

/// Whether the owner of the key is deleted by now, and their keys are forgotten: this one would never
/// be. It may be an administrator, of whom nothing else is read.
async fn is_forgotten(tx: &Tx, keyed: Option<&Keyed>, owner: UserId) -> Result<bool, DbErr> {
    if keyed.is_none() {
        return Ok(false);
    }
    let owner = users::find(tx.conn(), owner).await?;
    Ok(owner.is_some_and(|owner| owner.status == UserStatus::Deleted))
}

/// Locks the keys of `operations` for this transaction, and says of each what it is, in the same
/// order. The first ones are to be given to [`remember_keys`] when they are done.
///
/// # Errors
/// When the database does not answer. What is wrong with one key is said in its place.
pub async fn check_keys(
    tx: &Tx,
    operations: &[MaybeKeyed<'_>],
) -> Result<Vec<Result<Claim, ClaimError>>, DbErr> {
    let mut free = BTreeSet::new();
    let names: BTreeSet<_> = operations.iter().filter_map(name).collect();
    if !names.is_empty() {
        free = store::idempotency::try_lock(tx.conn(), names).await?;
    }
    let stored = store::idempotency::find(tx.conn(), &free).await?;
    let mut claims = Vec::with_capacity(operations.len());
    for operation in operations {
        let (Some(keyed), Some(name)) = (operation.0, name(operation)) else {
            claims.push(Ok(Claim::First));
            continue;
        };
        claims.push(match stored.get(&name) {
            Some(row) => check(keyed, row),
            // The second request with a new key in one transaction finds the first one running.
            None if free.remove(&name) => Ok(Claim::First),
            None => Err(ClaimError::InFlight),
        });
    }
    Ok(claims)
}

fn name(operation: &MaybeKeyed<'_>) -> Option<(UserId, IdempotencyKey)> {
    let (keyed, operation) = operation;
    keyed.map(|keyed| (operation.user_id, keyed.key.clone()))
}

fn check(keyed: &Keyed, row: &store::idempotency::entity::Model) -> Result<Claim, ClaimError> {
    let stored = RequestHash::from_bytes(&row.request_hash).map(|hash| Stored { hash });
    match decide(stored.as_ref(), keyed.hash) {
        Decision::Repeat => Ok(Claim::Repeat(row.operation_id)),
        // Under a hash that can't be read there was an operation all the same.
        Decision::First | Decision::Mismatch => Err(ClaimError::Mismatch),
    }
}

/// Remembers the keys of operations that this transaction does, which [`check_keys`] has locked
/// and found new.
///
/// # Errors
/// When the database refuses, or somebody else remembers one of them meanwhile in spite of the
/// lock; then the transaction is to be run again.
pub async fn remember_keys(tx: &Tx, operations: &[MaybeKeyed<'_>]) -> Result<(), DbErr> {
    let rows: Vec<_> = operations
        .iter()
        .filter_map(|(keyed, operation)| {
            let Keyed { key, hash } = (*keyed)?;
            Some(store::idempotency::entity::Model {
                user_id: operation.user_id,
                key: key.as_str().to_owned(),
                operation: operation.kind.to_owned(),
                operation_id: operation.id,
                request_hash: hash.as_bytes().to_vec(),
                created_at: tx.now(),
            })
        })
        .collect();
    if store::idempotency::insert(tx.conn(), rows).await? {
        Ok(())
    } else {
        Err(race("an idempotency key was taken meanwhile"))
    }
}

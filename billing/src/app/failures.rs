//! Counts failures, so that a loop of them is slowed down.

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::UserId,
    throttle::{self, Throttled},
};

use crate::domain::failures::Counted;

/// Counts one more failure of `user`, unless so many of the kind, `free` of them without a wait, were
/// counted that it has to wait: then it is neither counted nor to be recorded. In the transaction that
/// decides, over what its decisions for this user wait for.
pub(super) async fn count_failure(
    tx: &Tx,
    counted: Counted,
    user: UserId,
    free: u32,
) -> Result<Option<Throttled>, DbErr> {
    let key = counted.key(user);
    let before = throttle::find(tx.conn(), &key).await?;
    if let Some(seconds) = before.and_then(|count| count.slowed(free, tx.now())) {
        return Ok(Some(Throttled { seconds }));
    }
    throttle::add(tx.conn(), &key, None, tx.now()).await?;
    Ok(None)
}

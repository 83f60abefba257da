//! What deleted users leave goes to an account of the platform, and what they have bought ends.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::DbErr;
use shared::{
    contracts::UserStatus,
    db::{Db, Tx},
    ids::{TransferId, UserId},
    users,
};

use super::{books::Books, movements::Movements};
use crate::{domain::ledger::Cause, store};

/// Wallets in one transaction.
const BATCH: u64 = 100;

/// Empties the wallets of those of `users` who are deleted, and ends their subscriptions; a wallet that is
/// empty and a subscription that is over stay as they are. A purchase that is under way is paid before
/// this has locked its wallet, and what it gave ends here; or after it, and then fails.
///
/// One that is missing is opened: whoever is about to open it with money in it then waits for this
/// transaction, or this one for them, so that neither misses the other. What comes later, by a top-up
/// or a refund that was under way, is moved on by the transaction that brings it: it reads the user's
/// status after it has locked the wallet.
///
/// # Errors
/// When the database refuses.
pub async fn forfeit_wallets(
    tx: &Tx,
    books: &Books,
    users: impl IntoIterator<Item = UserId>,
) -> Result<(), DbErr> {
    // Nobody who is deleted is ever anything else again, so this may be read before the locks.
    let known = users::find_many(tx.conn(), users).await?;
    let deleted: BTreeSet<_> = known
        .into_iter()
        .filter_map(|(user, known)| (known.status == UserStatus::Deleted).then_some(user))
        .collect();
    let mut movements = Movements::of_many(tx, books, &deleted).await?;
    let leaving: Vec<_> = deleted
        .iter()
        .copied()
        .filter(|user| movements.balance(*user).0 > 0)
        .collect();
    let causes = Causes::of(tx, &leaving).await?;
    for user in leaving {
        movements.forfeit(user, causes.of_leaving(user)?)?;
    }
    movements.write().await?;
    store::subscription::end_of_users(tx.conn(), &deleted, tx.now()).await
}

/// Empties what wallets of deleted users hold all the same, and ends the subscriptions that they have, as
/// a program leaves them that did not know of this. Replicas may do so side by side: for the second one
/// nothing is left.
///
/// # Errors
/// When the database refuses.
pub async fn forfeit_leftovers(db: &Db, books: &Books) -> Result<(), DbErr> {
    let mut after = None;
    loop {
        let users = &left_by_deleted(db, after).await?;
        let Some(last) = users.last() else {
            return Ok(());
        };
        after = Some(*last);
        tracing::warn!(
            count = users.len(),
            "deleted users have money or subscriptions; both end"
        );
        db.write(|tx| async move { forfeit_wallets(&tx, books, users.iter().copied()).await })
            .await?;
    }
}

/// Some deleted users behind `after`, in sorted order, who have left something.
async fn left_by_deleted(db: &Db, after: Option<UserId>) -> Result<BTreeSet<UserId>, DbErr> {
    let wallets = store::account::left_by_deleted(db.reader(), after, BATCH).await?;
    let now = db.now();
    let subscriptions = store::subscription::left_by_deleted(db.reader(), now, after, BATCH).await?;
    // The first of both: each list may go on behind its last.
    let all: BTreeSet<_> = wallets.into_iter().chain(subscriptions).collect();
    let batch = usize::try_from(BATCH).unwrap_or(usize::MAX);
    Ok(all.into_iter().take(batch).collect())
}

/// What causes that wallets are emptied: the deletion, once; and after it whatever came last, which
/// nobody has moved on, since it is still there.
struct Causes {
    forfeited: HashSet<UserId>,
    newest: HashMap<UserId, TransferId>,
}

impl Causes {
    async fn of(tx: &Tx, users: &[UserId]) -> Result<Self, DbErr> {
        let forfeited = store::transfer::forfeited_by_deletion(tx.conn(), users).await?;
        let newest = store::transfer::newest_of(tx.conn(), &forfeited).await?;
        Ok(Self { forfeited, newest })
    }

    fn of_leaving(&self, user: UserId) -> Result<Cause, DbErr> {
        if !self.forfeited.contains(&user) {
            return Ok(Cause::Forfeiture(user.0));
        }
        let came = self.newest.get(&user);
        let came = came.ok_or_else(|| DbErr::RecordNotFound(format!("what came to the wallet of {user}")))?;
        Ok(Cause::Forfeiture(came.0))
    }
}

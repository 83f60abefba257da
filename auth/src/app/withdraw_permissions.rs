//! Ends the sessions of those who have lost what their role allowed: of so many users in a transaction, the
//! first in the one that changes the role, the others by a job. What is left is written down with it.

use std::collections::BTreeSet;

use chrono::Duration;
use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    contracts::Permission,
    db::Tx,
    ids::{UserId, new_uuid},
    sessions::EndedSessions,
};

use super::end_sessions::announce;
use crate::{
    domain::{Role, not_held, permissions_of},
    store::{
        role, session, user_role,
        withdrawal::{self, Withdrawal},
    },
};

/// Users whose sessions end in one transaction; each has a hundred at most.
const BATCH: u64 = 200;

/// Clocks of replicas differ: a session that began so long after the withdrawal, by its own clock, may
/// have begun before it.
const MARGIN: Duration = Duration::seconds(60);

/// Ends the sessions of those who had `lost` by this role alone. The role is locked and written, and
/// nobody issues a token to a user meanwhile ([`role::lock_permissions`]).
pub(super) async fn withdraw_permissions(
    tx: &Tx,
    ended: &EndedSessions,
    role: &Role,
    lost: BTreeSet<Permission>,
) -> Result<(), DbErr> {
    if lost.is_empty() {
        return Ok(());
    }
    let withdrawal = Withdrawal {
        id: new_uuid(tx.now()),
        role: role.name.clone(),
        permissions: lost,
        withdrawn_at: tx.now(),
        done_to: None,
    };
    go_on(tx, ended, &withdrawal).await
}

/// Whether sessions are left to end; changes nothing.
///
/// # Errors
/// When the database refuses.
pub async fn any_withdrawal_left(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    withdrawal::any(conn, None).await
}

/// Ends sessions of some more users. False if there are none that no other replica ends.
///
/// # Errors
/// When the database refuses.
pub async fn continue_withdrawal(tx: &Tx, ended: &EndedSessions) -> Result<bool, DbErr> {
    let Some(next) = withdrawal::lock_next(tx.conn()).await? else {
        return Ok(false);
    };
    go_on(tx, ended, &next).await?;
    Ok(true)
}

async fn go_on(tx: &Tx, ended: &EndedSessions, withdrawal: &Withdrawal) -> Result<(), DbErr> {
    let conn = tx.conn();
    let holders = user_role::holders_after(conn, &withdrawal.role, withdrawal.done_to, BATCH).await?;
    let roles = role::list(conn).await?;
    let losers: Vec<UserId> = holders
        .iter()
        .filter(|(_, names)| {
            let theirs = roles.iter().filter(|role| names.contains(&role.name));
            let lost = withdrawal.permissions.iter().copied();
            !not_held(&permissions_of(theirs), lost).is_empty()
        })
        .map(|(user, _)| *user)
        .collect();
    let sessions = session::end_of_users(conn, &losers, withdrawal.withdrawn_at + MARGIN, tx.now()).await?;
    announce(tx, ended, &sessions).await?;
    match holders.last_key_value() {
        Some((last, _)) if holders.len() as u64 == BATCH => withdrawal::upsert(conn, withdrawal, *last).await,
        _ => withdrawal::delete(conn, withdrawal.id).await,
    }
}

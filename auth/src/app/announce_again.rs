//! Announces again what a replica lacks.

use sea_orm::DbErr;
use shared::{
    contracts::{SessionEndedV1, UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserStatus},
    db::Db,
    ids::{SessionId, UserId},
};

use crate::store;

/// Announces the present state of these users again, under the same version: a service that has it already
/// ignores it. The event is that which leads to the state, so that what else follows from it (a wallet, a
/// letter) is made where it is missing. Returns how many there are.
///
/// # Errors
/// When the database refuses.
pub async fn announce_users(db: &Db, users: &[UserId]) -> Result<usize, DbErr> {
    db.write(|tx| async move {
        // Locked, so that no newer state is announced before this one.
        let accounts = store::user::lock(tx.conn(), users).await?;
        for account in accounts.values() {
            let state = account.user.state();
            match state.status {
                UserStatus::Active => tx.emit(&UserRegisteredV1(state))?,
                UserStatus::Blocked => tx.emit(&UserBlockedV1(state))?,
                UserStatus::Deleted => tx.emit(&UserDeletedV1(state))?,
            };
        }
        Ok(accounts.len())
    })
    .await
}

/// Announces the end of these sessions again; returns how many there are.
///
/// # Errors
/// When the database refuses.
pub async fn announce_ended_sessions(db: &Db, sessions: &[SessionId]) -> Result<usize, DbErr> {
    db.write(|tx| async move {
        for session_id in sessions.iter().copied() {
            let session = store::session::find(tx.conn(), session_id).await?;
            // What has no row is a program's: its tokens name the program's id.
            let (user_id, ended_at) = session.map_or((UserId(session_id.0), None), |session| {
                (session.user_id, session.ended_at)
            });
            tx.emit(&SessionEndedV1 {
                session_id,
                user_id,
                ended_at: ended_at.unwrap_or(tx.now()),
            })?;
        }
        Ok(sessions.len())
    })
    .await
}

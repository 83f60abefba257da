//! Ends sessions: their tokens are good for nothing more, in any service.

use sea_orm::DbErr;
use shared::{
    contracts::SessionEndedV1,
    db::Tx,
    ids::{SessionId, UserId},
    sessions::EndedSessions,
};

pub use crate::store::session::Which;
use crate::store::{self, session};

/// Ends a user's sessions and says so; returns which. The user must be locked.
pub(super) async fn end_of_locked(
    tx: &Tx,
    ended: &EndedSessions,
    user: UserId,
    which: Which,
) -> Result<Vec<SessionId>, DbErr> {
    let sessions = session::end(tx.conn(), user, which, tx.now()).await?;
    let of_user: Vec<_> = sessions.iter().map(|session| (*session, user)).collect();
    announce(tx, ended, &of_user).await?;
    Ok(sessions)
}

/// Announces to every service that these sessions, each with its user, have ended.
pub(super) async fn announce(
    tx: &Tx,
    ended: &EndedSessions,
    sessions: &[(SessionId, UserId)],
) -> Result<(), DbErr> {
    let ids: Vec<_> = sessions.iter().map(|(session, _)| *session).collect();
    ended.end(tx, &ids).await?;
    for (session_id, user_id) in sessions.iter().copied() {
        tx.emit(&SessionEndedV1 {
            session_id,
            user_id,
            ended_at: tx.now(),
        })?;
    }
    Ok(())
}

/// Ends a user's sessions and says so; returns how many there were. One that has ended already, or
/// is somebody else's, is none.
///
/// # Errors
/// When the database refuses.
pub async fn end_sessions(
    tx: &Tx,
    ended: &EndedSessions,
    user: UserId,
    which: Which,
) -> Result<usize, DbErr> {
    // Whoever begins or refreshes a session has the user locked too: none slips through.
    store::user::lock(tx.conn(), &[user]).await?;
    Ok(end_of_locked(tx, ended, user, which).await?.len())
}

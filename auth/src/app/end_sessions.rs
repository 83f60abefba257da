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
    ended.end(tx, &sessions).await?;
    for session_id in &sessions {
        tx.emit(&SessionEndedV1 {
            session_id: *session_id,
            user_id: user,
            ended_at: tx.now(),
        })?;
    }
    Ok(sessions)
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

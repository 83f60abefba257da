//! Forgets what is over.

use chrono::Duration;
use sea_orm::DbErr;
use shared::{
    db::Db,
    throttle::{self, WINDOW},
};

use crate::store::{login, mail_request, refresh_token, session, signing_key};

/// For so long after its end a session stays known.
const SESSIONS_KEPT: Duration = Duration::days(30);
/// For so long a user can see who tried to log in.
const LOGINS_KEPT: Duration = Duration::days(90);

/// Removes refresh tokens that have expired, sessions that are long over, logins that are long ago,
/// and counts that no longer count.
///
/// # Errors
/// When the database refuses.
pub async fn forget_old(db: &Db) -> Result<(), DbErr> {
    let (conn, now) = (db.writer(), db.now());
    throttle::forget_before(conn, now - WINDOW).await?;
    refresh_token::forget_before(conn, now).await?;
    session::forget_before(conn, now - SESSIONS_KEPT).await?;
    mail_request::forget_before(conn, now).await?;
    signing_key::forget_before(conn, now).await?;
    login::forget_before(conn, now - LOGINS_KEPT).await
}

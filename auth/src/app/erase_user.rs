//! Takes everything that tells of a person out of the database.

use sea_orm::DbErr;
use shared::{contracts::UserDeletedV1, db::Tx, sessions::EndedSessions, throttle};

use super::{
    end_sessions::{Which, end_of_locked},
    throttle::account_hash,
};
use crate::{
    domain::{Change, User},
    store::{self, login, mail_request, session},
};

/// Deletes a locked user and says so. What remains is the id, since when it was there, and that it
/// is gone. False if it was gone before.
pub(super) async fn erase_user(tx: &Tx, ended: &EndedSessions, mut user: User) -> Result<bool, DbErr> {
    let account = account_hash(user.email.normal());
    if user.delete() == Change::None {
        return Ok(false);
    }
    end_of_locked(tx, ended, user.id, Which::All).await?;
    session::erase(tx.conn(), user.id).await?;
    login::erase(tx.conn(), user.id).await?;
    mail_request::erase(tx.conn(), user.id).await?;
    throttle::forget_account(tx.conn(), &account).await?;
    store::user::erase(tx.conn(), &user).await?;
    tx.emit(&UserDeletedV1(user.state()))?;
    Ok(true)
}

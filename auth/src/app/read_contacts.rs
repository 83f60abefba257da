//! Where to write to users, and what: for whoever mails.

use sea_orm::DbErr;
use shared::{
    clock::Instant,
    contracts::{Locale, MailPurpose, UserStatus},
    db::Db,
    ids::{MailRequestId, UserId},
};

use super::MailKey;
use crate::{
    domain::User,
    store::{self, mail_request},
};

/// A letter with a secret in it, as it is to be written.
pub struct MailContents {
    /// To whom.
    pub user: User,
    /// What for.
    pub purpose: MailPurpose,
    /// What makes it good for that.
    pub secret: String,
    /// Until when.
    pub expires_at: Instant,
}

impl MailContents {
    /// In which language.
    #[must_use]
    pub fn locale(&self) -> Locale {
        self.user.locale
    }
}

/// Whoever has this id and is not deleted.
///
/// # Errors
/// When the database refuses.
pub async fn find_contact(db: &Db, user: UserId) -> Result<Option<User>, DbErr> {
    let user = store::user::find(db.reader(), user).await?;
    Ok(user.filter(|user| user.status != UserStatus::Deleted))
}

/// What to write in the letter of this id; nothing if its secret was used, has expired, or its
/// reader is blocked or gone: they could do nothing with it.
///
/// # Errors
/// When the database refuses.
pub async fn read_mail(db: &Db, key: &MailKey, id: MailRequestId) -> Result<Option<MailContents>, DbErr> {
    let Some(request) = mail_request::find_good(db.reader(), id, db.now()).await? else {
        return Ok(None);
    };
    let user = store::user::find(db.reader(), request.user_id).await?;
    Ok(user.filter(User::is_active).map(|user| MailContents {
        user,
        purpose: request.purpose,
        secret: key.secret(&request),
        expires_at: request.expires_at,
    }))
}

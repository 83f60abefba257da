//! Letters as their readers see them.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    ids::{LetterId, MailId, UserId},
};

use crate::{
    domain::{letter::LetterKind, mail::MailStatus},
    store::{self, letter::entity::Model},
};

pub use crate::store::letter::Listing;

/// A letter in the inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxLetter {
    /// Which.
    pub id: LetterId,
    /// Which outcome it tells.
    pub kind: LetterKind,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The same for programs.
    pub data: serde_json::Value,
    /// When the outcome came about.
    pub occurred_at: Instant,
    /// When it was read first; absent if it was not.
    pub read_at: Option<Instant>,
    /// How it was mailed last, where that was asked for and it was.
    pub mail: Option<LetterMail>,
}

/// How a letter was mailed, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterMail {
    /// Which mail; its Message-ID begins with it.
    pub id: MailId,
    /// How it stands.
    pub status: MailStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next.
    pub next_attempt_at: Option<Instant>,
    /// When it was sent or given up.
    pub finished_at: Option<Instant>,
    /// What went wrong last.
    pub error: Option<String>,
}

impl TryFrom<store::mail::entity::Model> for LetterMail {
    type Error = DbErr;

    fn try_from(row: store::mail::entity::Model) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.id,
            status: MailStatus::parse(&row.status)
                .ok_or_else(|| DbErr::Type(format!("`{}` is no status of a mail", row.status)))?,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            finished_at: row.finished_at,
            error: row.error,
        })
    }
}

impl TryFrom<Model> for InboxLetter {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.id,
            kind: LetterKind::parse(&row.kind)
                .ok_or_else(|| DbErr::Type(format!("`{}` is no kind of letter", row.kind)))?,
            subject: row.subject,
            body: row.body,
            data: serde_json::from_str(&row.data).map_err(|error| DbErr::Json(error.to_string()))?,
            occurred_at: row.occurred_at,
            read_at: row.read_at,
            mail: None,
        })
    }
}

/// Letters of one user, the newest first by the time of what they tell.
///
/// # Errors
/// When the database does not answer.
pub async fn list_letters(conn: &impl ConnectionTrait, listing: Listing) -> Result<Vec<InboxLetter>, DbErr> {
    let rows = store::letter::list(conn, listing).await?;
    rows.into_iter().map(InboxLetter::try_from).collect()
}

/// How many letters `user` has not read.
///
/// # Errors
/// When the database does not answer.
pub async fn count_unread(conn: &impl ConnectionTrait, user: UserId) -> Result<u64, DbErr> {
    store::letter::count_unread(conn, user).await
}

/// A letter, if it is `owner`'s; anybody's, if none is named.
///
/// # Errors
/// When the database does not answer.
pub async fn find_letter(
    conn: &impl ConnectionTrait,
    id: LetterId,
    owner: Option<UserId>,
) -> Result<Option<InboxLetter>, DbErr> {
    let row = store::letter::find_many(conn, [id]).await?.remove(&id);
    row.filter(|row| owner.is_none_or(|owner| row.user_id == owner))
        .map(InboxLetter::try_from)
        .transpose()
}

/// Adds how each of `letters` was mailed.
///
/// # Errors
/// When the database does not answer.
pub async fn add_mails(conn: &impl ConnectionTrait, letters: &mut [InboxLetter]) -> Result<(), DbErr> {
    let mut mails = store::mail::newest_of(conn, letters.iter().map(|letter| letter.id)).await?;
    for letter in letters {
        letter.mail = mails.remove(&letter.id).map(TryInto::try_into).transpose()?;
    }
    Ok(())
}

//! Letters as their readers see them.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    ids::{LetterId, UserId},
};

use crate::{
    domain::letter::LetterKind,
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

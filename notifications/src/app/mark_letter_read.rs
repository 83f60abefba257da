//! A user reads a letter of theirs, or keeps it for later.

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{LetterId, UserId},
};

use super::read_letter::InboxLetter;
use crate::store;

/// Who reads which letter.
#[derive(Clone, Copy, Debug)]
pub struct MarkLetterRead {
    /// Its owner.
    pub user_id: UserId,
    /// The letter.
    pub letter_id: LetterId,
}

/// Why a letter could not be marked.
#[derive(Debug, thiserror::Error)]
pub enum MarkLetterReadError {
    /// There is none, or it is somebody else's.
    #[error("there is no such letter")]
    NotFound,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Notes that the letter was read. Once it was, it stays as it was read first.
///
/// # Errors
/// When the user has no such letter, or the database refuses.
pub async fn mark_letter_read(tx: &Tx, input: MarkLetterRead) -> Result<InboxLetter, MarkLetterReadError> {
    let MarkLetterRead { user_id, letter_id } = input;
    // Nothing changed means that it was read before or is not there; the look tells which.
    store::letter::mark_read(tx.conn(), user_id, letter_id, tx.now()).await?;
    let letter = store::letter::find(tx.conn(), user_id, letter_id)
        .await?
        .ok_or(MarkLetterReadError::NotFound)?;
    Ok(letter.try_into()?)
}

/// Notes that the letter was not read, whether it was or not.
///
/// # Errors
/// When the user has no such letter, or the database refuses.
pub async fn mark_letter_unread(tx: &Tx, input: MarkLetterRead) -> Result<InboxLetter, MarkLetterReadError> {
    let MarkLetterRead { user_id, letter_id } = input;
    store::letter::mark_unread(tx.conn(), user_id, letter_id).await?;
    let letter = store::letter::find(tx.conn(), user_id, letter_id)
        .await?
        .ok_or(MarkLetterReadError::NotFound)?;
    Ok(letter.try_into()?)
}

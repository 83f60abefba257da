//! An administrator has a letter mailed again.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{LetterId, UserId},
};

use super::read_letter::InboxLetter;
use crate::{
    domain::mail::MailStatus,
    store::{self, mail::MailOf},
};

/// Who has which letter mailed.
#[derive(Clone, Copy, Debug)]
pub struct ResendLetter {
    /// The administrator.
    pub actor: UserId,
    /// The letter.
    pub letter_id: LetterId,
    /// Whether this platform mails at all.
    pub mailed: bool,
}

/// Why it is not mailed.
#[derive(Debug, thiserror::Error)]
pub enum ResendLetterError {
    /// There is no such letter.
    #[error("there is no such letter")]
    NotFound,
    /// Nothing is mailed here.
    #[error("no mail server is configured")]
    NotConfigured,
    /// It is to be mailed already.
    #[error("the letter waits to be mailed already")]
    Waiting,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Puts the letter on the list of mails once more, under a Message-ID of its own, so that no mailbox
/// takes it for the one it has. It goes out whatever its reader prefers.
///
/// # Errors
/// See [`ResendLetterError`].
pub async fn resend_letter(tx: &Tx, input: ResendLetter) -> Result<InboxLetter, ResendLetterError> {
    // Locked, so that two administrators at once don't mail it twice.
    let letter = store::letter::lock(tx.conn(), input.letter_id)
        .await?
        .ok_or(ResendLetterError::NotFound)?;
    if !input.mailed {
        return Err(ResendLetterError::NotConfigured);
    }
    let last = newest(tx, input.letter_id).await?;
    if last
        .as_ref()
        .is_some_and(|mail| mail.status == MailStatus::Waiting.as_str())
    {
        return Err(ResendLetterError::Waiting);
    }
    let mail = (letter.user_id, MailOf::Letter(input.letter_id));
    store::mail::insert(tx.conn(), &[mail], tx.now()).await?;
    let deed = Deed {
        actor: Some(input.actor),
        action: "letter.resend",
        subject: input.letter_id.0,
        details: json!({
            "user_id": letter.user_id,
            "kind": letter.kind,
            "last_mail": last.map(|mail| mail.status),
        }),
    };
    audit::record(tx, deed).await?;
    let mut letter = InboxLetter::try_from(letter)?;
    letter.mail = newest(tx, input.letter_id)
        .await?
        .map(TryInto::try_into)
        .transpose()?;
    Ok(letter)
}

async fn newest(tx: &Tx, letter: LetterId) -> Result<Option<store::mail::entity::Model>, DbErr> {
    Ok(store::mail::newest_of(tx.conn(), [letter]).await?.remove(&letter))
}

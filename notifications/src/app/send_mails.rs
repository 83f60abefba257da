//! Mails what is due.

use std::collections::HashMap;

use futures::{StreamExt as _, stream};
use rand::RngExt as _;
use sea_orm::DbErr;
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    clock::Instant,
    contracts::{MailPurpose, UserStatus},
    db::Db,
    ids::{LetterId, MailRequestId, UserId},
    telemetry::metrics::MAILS,
    users,
};

use crate::{
    domain::{
        letter::LetterKind,
        mail::{self, MailStatus, Tried},
    },
    mail::{Contacts, Outgoing, Post, PostError},
    store::{self, mail::entity::Model as Mail},
};

/// Mails that are sent at once. What is taken up is sent at once, so that a lease never has to wait.
const AT_ONCE: usize = 8;

/// What mails go out by.
pub struct Mailing {
    /// Who knows the addresses.
    pub contacts: Box<dyn Contacts>,
    /// Who takes the mails.
    pub post: Box<dyn Post>,
    /// What links in mails begin with.
    pub public_url: String,
}

/// Sends some of what is due; whether there may be more.
///
/// # Errors
/// When the database does not answer.
pub async fn send_some_mails(db: &Db, mailing: &Mailing) -> Result<bool, DbErr> {
    // Looking costs no write transaction; most of the time there is nothing.
    if !store::mail::any_due(db.reader(), db.now()).await? {
        return Ok(false);
    }
    let mails = db
        .write(|tx| async move { store::mail::lease(tx.conn(), tx.now(), AT_ONCE as u64).await })
        .await?;
    let more = mails.len() == AT_ONCE;
    let known = Known::of(db, &mails).await?;
    let known = &known;
    let tried: Vec<_> = stream::iter(mails)
        .map(|mail| async move {
            let tried = known.send(&mail, mailing, db.now()).await;
            (mail, tried)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    note(db, tried).await?;
    Ok(more)
}

/// Writes down how each try has ended.
async fn note(db: &Db, tried: Vec<(Mail, Tried)>) -> Result<(), DbErr> {
    let mut postponed = Vec::new();
    for (mail, tried) in tried {
        let outcome = match &tried {
            Tried::Sent => "sent",
            Tried::Postponed(_) => "postponed",
            Tried::Refused(_) => "failed",
            Tried::Skipped(_) => "skipped",
        };
        let spread = rand::rng().random_range(0..=1_000);
        let standing = &mail::after(tried, mail.attempts, db.now(), spread);
        let noted = db
            .write(|tx| async move {
                store::mail::note(tx.conn(), mail.id, mail.attempts, standing, tx.now()).await
            })
            .await?;
        if !noted {
            continue;
        }
        let error = standing.error.as_deref();
        let outcome = match standing.status {
            MailStatus::Failed => {
                tracing::error!(mail = %mail.id, attempts = mail.attempts, error, "a mail is given up");
                "failed"
            }
            MailStatus::Skipped => {
                tracing::info!(mail = %mail.id, error, "a mail is not sent");
                outcome
            }
            MailStatus::Waiting => {
                postponed.push(error.unwrap_or_default().to_owned());
                outcome
            }
            MailStatus::Sent => {
                tracing::info!(mail = %mail.id, attempts = mail.attempts, "a mail was sent");
                outcome
            }
        };
        MAILS.counter(&[("outcome", outcome)]).increment(1);
    }
    // One line for all of them: an outage postpones many.
    if let Some(error) = postponed.first() {
        let count = postponed.len();
        tracing::warn!(count, error, "mails could not be sent; they will be tried again");
    }
    Ok(())
}

/// What this service itself knows of the mails that it has in hand.
struct Known {
    letters: HashMap<LetterId, store::letter::entity::Model>,
    users: HashMap<UserId, users::entity::Model>,
}

impl Known {
    async fn of(db: &Db, mails: &[Mail]) -> Result<Self, DbErr> {
        let letters = mails.iter().filter_map(|mail| mail.letter_id);
        Ok(Self {
            letters: store::letter::find_many(db.reader(), letters).await?,
            users: users::find_many(db.reader(), mails.iter().map(|mail| mail.user_id)).await?,
        })
    }

    async fn send(&self, mail: &Mail, mailing: &Mailing, now: Instant) -> Tried {
        let user = self.users.get(&mail.user_id);
        if user.is_some_and(|user| user.status == UserStatus::Deleted) {
            return Tried::Skipped(DELETED.to_owned());
        }
        let written = match (mail.letter_id, mail.mail_request_id) {
            (Some(letter), _) => self.write_letter(mail, letter, mailing).await,
            (None, Some(request)) => write_link(mail, request, mailing, now).await,
            // The database refuses such a row.
            (None, None) => Err(Tried::Skipped("there is nothing to send".to_owned())),
        };
        let outgoing = match written {
            Ok(outgoing) => outgoing,
            Err(tried) => return tried,
        };
        match mailing.post.send(outgoing).await {
            Ok(()) => Tried::Sent,
            Err(PostError::Temporary(why)) => Tried::Postponed(why),
            Err(PostError::Permanent(why)) => Tried::Refused(why),
        }
    }

    async fn write_letter(&self, mail: &Mail, id: LetterId, mailing: &Mailing) -> Result<Outgoing, Tried> {
        let letter = self
            .letters
            .get(&id)
            .ok_or_else(|| Tried::Skipped("the letter is gone".to_owned()))?;
        let contact = mailing
            .contacts
            .contact(mail.user_id)
            .await
            .map_err(|error| Tried::Postponed(error.to_string()))?
            .ok_or_else(|| Tried::Skipped(NOBODY.to_owned()))?;
        let kind = LetterKind::parse(&letter.kind);
        if !contact.email_confirmed && !kind.is_some_and(mail::goes_to_unconfirmed) {
            return Err(Tried::Skipped("the address is not confirmed".to_owned()));
        }
        Ok(Outgoing {
            id: mail.id,
            to: contact.email,
            date: mail.created_at,
            subject: letter.subject.clone(),
            body: SecretString::from(letter.body.as_str()),
        })
    }
}

/// Why nothing is sent to whoever has deleted their account.
pub(crate) const DELETED: &str = "the account is deleted";
const NOBODY: &str = "auth knows of nobody to send it to";
const EXPIRED: &str = "the link is good no more";

async fn write_link(
    mail: &Mail,
    request: MailRequestId,
    mailing: &Mailing,
    now: Instant,
) -> Result<Outgoing, Tried> {
    let expired = || Tried::Skipped(EXPIRED.to_owned());
    if mail.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(expired());
    }
    let secret = mailing
        .contacts
        .secret_mail(request)
        .await
        .map_err(|error| Tried::Postponed(error.to_string()))?
        .ok_or_else(|| Tried::Skipped(NOBODY.to_owned()))?;
    if secret.expires_at <= now {
        return Err(expired());
    }
    let purpose: MailPurpose = secret.purpose;
    let link = mail::link(&mailing.public_url, purpose, secret.token.expose_secret());
    let text = mail::with_link(purpose, &link, secret.expires_at, secret.locale);
    Ok(Outgoing {
        id: mail.id,
        to: secret.email,
        date: mail.created_at,
        subject: text.subject,
        body: SecretString::from(text.body),
    })
}

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
    zone::Zone,
};

use super::{
    make_letters::reader,
    outage::{Outage, Told},
};
use crate::{
    domain::{
        letter::{LetterKind, Reader},
        mail::{self, MailStatus, Tried},
    },
    mail::{Contacts, ContactsError, Outgoing, Post, PostError},
    store::{self, mail::entity::Model as Mail},
};

/// Mails that are sent at once. What is taken up is sent at once, so that a lease never has to wait.
pub(super) const AT_ONCE: usize = 8;

/// What mails go out by.
pub struct Mailing {
    /// Who knows the addresses.
    pub contacts: Box<dyn Contacts>,
    /// Who takes the mails.
    pub post: Box<dyn Post>,
    /// What links in mails begin with.
    pub public_url: String,
    /// On whose clocks they tell the time to users without a zone of their own.
    pub time_zone: Zone,
    /// Whether mail goes out at all.
    pub outage: Outage,
}

/// Sends some of what is due; whether there may be more. How each try ended is noted as soon as it
/// did, so that a process that dies leaves as little as can be to be sent twice.
///
/// # Errors
/// When the database does not answer.
pub async fn send_some_mails(db: &Db, mailing: &Mailing) -> Result<bool, DbErr> {
    let Some(round) = mailing.outage.next_round(db.now(), spread()) else {
        return Ok(false);
    };
    // Looking costs no write transaction; most of the time there is nothing.
    if !store::mail::any_due(db.reader(), db.now()).await? {
        return Ok(false);
    }
    let limit = round.limit;
    let mails = db
        .write(|tx| async move { store::mail::lease(tx.conn(), tx.now(), limit).await })
        .await?;
    let is_full = mails.len() as u64 == limit;
    let known = Known::of(db, &mails).await?;
    let (known, hold_until) = (&known, round.hold_until);
    let tried: Vec<_> = stream::iter(mails)
        .map(|mail| async move {
            let tried = known.send(&mail, mailing, db.now(), hold_until).await;
            note(db, &mail, &tried).await.map(|()| tried)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let told = tell(&tried);
    mailing.outage.end_round(&round, told);
    for noted in tried {
        noted?;
    }
    Ok(is_full && told != Some(Told::Outage))
}

/// Says in a line each what keeps mails from going out, since an outage does that to many.
fn tell(tried: &[Result<Tried, DbErr>]) -> Option<Told> {
    let (mut postponed, mut held, mut works) = (Vec::new(), Vec::new(), false);
    for tried in tried.iter().flatten() {
        match tried {
            Tried::Postponed(why) => postponed.push(why),
            Tried::Held(why, _) => held.push(why),
            Tried::Sent | Tried::Refused(_) => works = true,
            Tried::Skipped(_) => {}
        }
    }
    if let Some(error) = postponed.first() {
        let count = postponed.len();
        tracing::warn!(count, error, "mails could not be sent; they will be tried again");
    }
    if let Some(error) = held.first() {
        let count = held.len();
        tracing::error!(
            count,
            error,
            "mail does not go out, whoever it is for; all of it waits"
        );
    }
    match (works, held.is_empty()) {
        (true, _) => Some(Told::Works),
        (false, false) => Some(Told::Outage),
        (false, true) => None,
    }
}

/// Writes down how a try has ended.
async fn note(db: &Db, mail: &Mail, tried: &Tried) -> Result<(), DbErr> {
    let outcome = match tried {
        Tried::Sent => "sent",
        Tried::Postponed(_) => "postponed",
        Tried::Held(..) => "held",
        Tried::Refused(_) => "failed",
        Tried::Skipped(_) => "skipped",
    };
    let standing = &mail::after(tried.clone(), mail.attempts, db.now(), spread());
    let (id, attempts) = (mail.id, mail.attempts);
    let noted = db
        .write(|tx| async move { store::mail::note(tx.conn(), id, attempts, standing, tx.now()).await })
        .await?;
    if !noted {
        return Ok(());
    }
    let error = standing.error.as_deref();
    let outcome = match standing.status {
        MailStatus::Failed => {
            tracing::error!(mail = %id, attempts, error, "a mail is given up");
            "failed"
        }
        MailStatus::Skipped => {
            tracing::info!(mail = %id, error, "a mail is not sent");
            outcome
        }
        MailStatus::Sent => {
            tracing::info!(mail = %id, attempts, "a mail was sent");
            outcome
        }
        MailStatus::Waiting => outcome,
    };
    MAILS.counter(&[("outcome", outcome)]).increment(1);
    Ok(())
}

fn spread() -> u16 {
    rand::rng().random_range(0..=1_000)
}

/// Why there is nothing to hand over.
enum Unwritten {
    Skipped(&'static str),
    Contacts(ContactsError),
}

impl From<ContactsError> for Unwritten {
    fn from(error: ContactsError) -> Self {
        Self::Contacts(error)
    }
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

    async fn send(&self, mail: &Mail, mailing: &Mailing, now: Instant, hold_until: Instant) -> Tried {
        let user = self.users.get(&mail.user_id);
        if user.is_some_and(|user| user.status == UserStatus::Deleted) {
            return Tried::Skipped(DELETED.to_owned());
        }
        let written = match (mail.letter_id, mail.mail_request_id) {
            (Some(letter), _) => self.write_letter(mail, letter, mailing).await,
            (None, Some(request)) => write_link(mail, request, mailing, user, now).await,
            // The database refuses such a row.
            (None, None) => Err(Unwritten::Skipped("there is nothing to send")),
        };
        let outgoing = match written {
            Ok(outgoing) => outgoing,
            Err(Unwritten::Skipped(why)) => return Tried::Skipped(why.to_owned()),
            Err(Unwritten::Contacts(error)) if error.is_about_one => {
                return Tried::Postponed(error.to_string());
            }
            Err(Unwritten::Contacts(error)) => return Tried::Held(error.to_string(), hold_until),
        };
        match mailing.post.send(outgoing).await {
            Ok(()) => Tried::Sent,
            Err(PostError::Unavailable(why)) => Tried::Held(why, hold_until),
            Err(PostError::Temporary(why)) => Tried::Postponed(why),
            Err(PostError::Permanent(why)) => Tried::Refused(why),
        }
    }

    async fn write_letter(
        &self,
        mail: &Mail,
        id: LetterId,
        mailing: &Mailing,
    ) -> Result<Outgoing, Unwritten> {
        let letter = self
            .letters
            .get(&id)
            .ok_or(Unwritten::Skipped("the letter is gone"))?;
        let contact = mailing
            .contacts
            .contact(mail.user_id)
            .await?
            .ok_or(Unwritten::Skipped(NOBODY))?;
        let kind = LetterKind::parse(&letter.kind);
        if !contact.email_confirmed && !kind.is_some_and(mail::goes_to_unconfirmed) {
            return Err(Unwritten::Skipped("the address is not confirmed"));
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
    user: Option<&users::entity::Model>,
    now: Instant,
) -> Result<Outgoing, Unwritten> {
    let expired = || Unwritten::Skipped(EXPIRED);
    if mail.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(expired());
    }
    let secret = mailing
        .contacts
        .secret_mail(request)
        .await?
        .ok_or(Unwritten::Skipped(NOBODY))?;
    if secret.expires_at <= now {
        return Err(expired());
    }
    let purpose: MailPurpose = secret.purpose;
    let link = mail::link(&mailing.public_url, purpose, secret.token.expose_secret());
    let reader = Reader {
        locale: secret.locale,
        ..reader(user, mailing.time_zone)
    };
    let text = mail::with_link(purpose, &link, secret.expires_at, reader);
    Ok(Outgoing {
        id: mail.id,
        to: secret.email,
        date: mail.created_at,
        subject: text.subject,
        body: SecretString::from(text.body),
    })
}

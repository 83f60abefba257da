//! Mail: where addresses come from and how mails go out.

mod auth;
mod smtp;

use async_trait::async_trait;
use secrecy::SecretString;
use shared::{
    clock::Instant,
    contracts::{Locale, MailPurpose},
    ids::{MailId, MailRequestId, UserId},
};

pub use auth::Auth;
pub use smtp::Smtp;

/// Where to write to a user.
#[derive(Debug)]
pub struct Contact {
    /// Their address; kept nowhere.
    pub email: SecretString,
    /// Whether they have shown that it is theirs.
    pub email_confirmed: bool,
}

/// What only auth knows of a mail with a secret link.
#[derive(Debug)]
pub struct SecretMail {
    /// To which address; kept nowhere.
    pub email: SecretString,
    /// In which language to write.
    pub locale: Locale,
    /// What for.
    pub purpose: MailPurpose,
    /// The secret; kept nowhere.
    pub token: SecretString,
    /// From when on it is good for nothing.
    pub expires_at: Instant,
}

/// Auth could not be asked; it may well be later.
#[derive(Debug, thiserror::Error)]
#[error("auth can't be asked: {why}")]
pub struct ContactsError {
    /// What kept it from being asked; nothing personal.
    pub why: String,
    /// Whether it is this one thing that it does not answer, and may answer others.
    pub is_about_one: bool,
}

/// Who knows where to write to users.
#[async_trait]
pub trait Contacts: Send + Sync {
    /// Where to write to `user`; `None` if there is nobody, or no longer.
    async fn contact(&self, user: UserId) -> Result<Option<Contact>, ContactsError>;

    /// What to send for `request`; `None` if there is nothing, or no longer.
    async fn secret_mail(&self, request: MailRequestId) -> Result<Option<SecretMail>, ContactsError>;
}

/// A mail that is to go out.
pub struct Outgoing {
    /// Which; a repeat has the same Message-ID.
    pub id: MailId,
    /// To which address.
    pub to: SecretString,
    /// When it was asked for.
    pub date: Instant,
    /// One line.
    pub subject: String,
    /// Plain text, lines parted by `\n`.
    pub body: SecretString,
}

/// Why a mail did not go out. What is said names nobody.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nobody's mail goes out for now, whoever it is for: the server is away, or does not take us.
    #[error("{0}")]
    Unavailable(String),
    /// It may later.
    #[error("{0}")]
    Temporary(String),
    /// It never will.
    #[error("{0}")]
    Permanent(String),
}

/// Who takes mails and delivers them.
#[async_trait]
pub trait Post: Send + Sync {
    /// Hands the mail over.
    async fn send(&self, mail: Outgoing) -> Result<(), PostError>;
}

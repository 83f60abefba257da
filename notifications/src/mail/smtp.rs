//! Mail over SMTP.

mod refusal;
mod server;

use std::time::Duration;

use async_trait::async_trait;
use lettre::{
    Address, Message,
    message::{
        Mailbox, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        extension::{Extension, MailBodyParameter, MailParameter},
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Outgoing, Post, PostError};
use refusal::{At, Refusal};
use server::{Pool, Server};

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(8);
/// How long all of it may take; less than a periodic job may run.
const WHOLE: Duration = Duration::from_secs(15);

/// Why mail can't be configured so. Nothing of the URL is told: there may be a password in it.
#[derive(Debug, thiserror::Error)]
pub enum SmtpConfigError {
    /// No URL of a mail server.
    #[error("`notifications.mail_url` is no smtp:// or smtps:// URL")]
    Url,
    /// No address.
    #[error("`notifications.mail_from` is no address such as `Cinema <noreply@example.com>`")]
    From,
}

/// A mail server.
pub struct Smtp {
    server: Server,
    pool: Pool,
    from: Mailbox,
}

impl Smtp {
    /// The server at `url`, to which we write as `from`. It is not asked yet.
    ///
    /// # Errors
    /// When one of both can't be read.
    pub fn new(url: &SecretString, from: &str) -> Result<Self, SmtpConfigError> {
        let from: Mailbox = from.parse().map_err(|_| SmtpConfigError::From)?;
        let server =
            Server::read(url.expose_secret(), from.email.domain(), CONNECTING).ok_or(SmtpConfigError::Url)?;
        Ok(Self {
            server,
            pool: Pool::new(),
            from,
        })
    }

    /// Hands `message` over, command by command, so that a no tells what it is said to. `at` says how
    /// far it has come.
    async fn hand_over(&self, message: &Message, at: &mut At) -> Result<(), Refusal> {
        let mut connection = match self.pool.take().await {
            Some(connection) => connection,
            None => self.server.connect(at).await?,
        };
        let taken = tell(&mut connection, message, at).await;
        // After a no the server waits for the next mail, unless it has closed the door: which it has
        // shows when the connection is taken again.
        if taken.as_ref().err().is_none_or(Refusal::leaves_the_talk_in_step) {
            self.pool.keep(connection);
        }
        taken
    }

    fn message(&self, mail: &Outgoing) -> Result<Message, PostError> {
        let to: Mailbox = mail
            .to
            .expose_secret()
            .parse()
            .map_err(|_| PostError::Permanent("the address is none".to_owned()))?;
        // CRLF is what a mail's lines end with; a bare LF is refused by some servers.
        let body = mail.body.expose_secret().replace('\n', "\r\n");
        let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body);
        let auto = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .date(mail.date.into())
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .subject(mail.subject.as_str())
            .singlepart(text)
            .map_err(|_| PostError::Permanent("the mail can't be written".to_owned()))?;
        message.headers_mut().insert_raw(auto);
        Ok(message)
    }
}

#[async_trait]
impl Post for Smtp {
    async fn send(&self, mail: Outgoing) -> Result<(), PostError> {
        let message = self.message(&mail)?;
        let mut at = At::Connecting;
        let handed = tokio::time::timeout(WHOLE, self.hand_over(&message, &mut at)).await;
        handed
            .unwrap_or_else(|_| Err(Refusal::too_slow(at)))
            .map_err(|refusal| refusal.meaning())
    }
}

async fn tell(connection: &mut AsyncSmtpConnection, message: &Message, at: &mut At) -> Result<(), Refusal> {
    let (envelope, text) = (message.envelope(), message.formatted());
    let mut parameters = Vec::new();
    let is_foreign = |address: &Address| !AsRef::<str>::as_ref(address).is_ascii();
    let sender_is_foreign = envelope.from().is_some_and(is_foreign);
    if sender_is_foreign || envelope.to().iter().any(is_foreign) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let whose = if sender_is_foreign {
                At::Sender
            } else {
                At::Recipient
            };
            return Err(Refusal::takes_ascii_only(whose));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !text.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    *at = At::Sender;
    connection
        .command(Mail::new(envelope.from().cloned(), parameters))
        .await
        .map_err(|error| Refusal::of(*at, &error))?;
    *at = At::Recipient;
    for to in envelope.to() {
        connection
            .command(Rcpt::new(to.clone(), Vec::new()))
            .await
            .map_err(|error| Refusal::of(*at, &error))?;
    }
    *at = At::Message;
    connection
        .command(Data)
        .await
        .map_err(|error| Refusal::of(*at, &error))?;
    connection
        .message(&text)
        .await
        .map(drop)
        .map_err(|error| Refusal::of(*at, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_t_be_configured_is_said_without_the_password() {
        for (url, from, key) in [
            ("smtp://u:hunter2@", "a@example.com", "notifications.mail_url"),
            ("http://u:hunter2@host", "a@example.com", "notifications.mail_url"),
            (
                "smtp://u:hunter2@host:port",
                "a@example.com",
                "notifications.mail_url",
            ),
            ("smtp://u:hunter2@host", "nobody", "notifications.mail_from"),
        ] {
            let error = Smtp::new(&SecretString::from(url), from).err().unwrap();
            let text = format!("{error} {error:?}");
            assert!(error.to_string().contains(key), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_mail_has_a_stable_id_and_says_that_a_program_wrote_it() {
        let url = SecretString::from("smtps://u:p@mail.example.com");
        let smtp = Smtp::new(&url, "Кинотеатр <noreply@example.com>").unwrap();
        let id = "01920000-0000-7000-8000-000000000000".parse().unwrap();
        let mail = || Outgoing {
            id,
            to: SecretString::from("anna@example.com"),
            date: "2026-11-21T10:30:00Z".parse().unwrap(),
            subject: "Кошелёк пополнен".to_owned(),
            body: SecretString::from("Сумма\nБаланс"),
        };
        let written = String::from_utf8(smtp.message(&mail()).unwrap().formatted()).unwrap();
        for line in [
            "Message-ID: <01920000-0000-7000-8000-000000000000@example.com>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Date: Sat, 21 Nov 2026 10:30:00 +0000\r\n",
            "To: anna@example.com\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
        ] {
            assert!(written.contains(line), "{line} in {written}");
        }
        let again = String::from_utf8(smtp.message(&mail()).unwrap().formatted()).unwrap();
        assert_eq!(written, again);
    }
}

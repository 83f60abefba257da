//! Mail over SMTP.

use std::time::Duration;

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{PoolConfig, extension::ClientId},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Outgoing, Post, PostError};

/// How long each step of the talk with the server may take.
const STEP: Duration = Duration::from_secs(8);
/// How long all of it may take; less than a periodic job may run.
const WHOLE: Duration = Duration::from_secs(15);
/// Connections at once: as many as mails are sent at once.
const CONNECTIONS: u32 = 8;
/// What servers say of our user and password (RFC 4954), and of TLS that they want (RFC 3207). That is
/// no fault of the mail: it waits until whoever runs this has put it right.
const NOT_THE_MAILS_FAULT: [u16; 5] = [504, 530, 534, 535, 538];

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
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// The server at `url`, to which we write as `from`. It is not asked yet.
    ///
    /// # Errors
    /// When one of both can't be read.
    pub fn new(url: &SecretString, from: &str) -> Result<Self, SmtpConfigError> {
        let from: Mailbox = from.parse().map_err(|_| SmtpConfigError::From)?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|_| SmtpConfigError::Url)?
            .timeout(Some(STEP))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS))
            .build();
        Ok(Self { transport, from })
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
        match tokio::time::timeout(WHOLE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => Err(PostError::Temporary("the mail server takes too long".to_owned())),
        }
    }
}

/// What went wrong, without the server's own words: they often repeat the address.
fn told(error: &lettre::transport::smtp::Error) -> PostError {
    let Some(code) = error.status() else {
        return PostError::Temporary(if error.is_timeout() {
            "the mail server takes too long".to_owned()
        } else if error.is_tls() {
            "the mail server's TLS is not trusted".to_owned()
        } else {
            "the mail server can't be reached".to_owned()
        });
    };
    let code = u16::from(code);
    let said = format!("the mail server answers {code}");
    if error.is_permanent() && !NOT_THE_MAILS_FAULT.contains(&code) {
        PostError::Permanent(said)
    } else {
        PostError::Temporary(said)
    }
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

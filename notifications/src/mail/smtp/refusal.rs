//! What it means that a mail server says no: whether this mail is at fault, or all are in for it.

use std::error::Error as _;

use lettre::transport::smtp;

use crate::mail::PostError;

/// How far the talk with the server has come. Up to the sender it is the same for every mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Connection, TLS from the start, its greeting and ours.
    Connecting,
    /// TLS that begins within.
    StartTls,
    /// User and password.
    LoggingIn,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA` and the message.
    Message,
}

/// That it went wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    at: At,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// The server's code, and its enhanced one (RFC 3463) without the class, if it gave one.
    Answer(u16, Option<(u16, u16)>),
    TooSlow,
    Tls,
    /// It lacks what we need: TLS, a way to log in, addresses that are not ASCII.
    Lacks,
    Gone,
}

/// What servers say when they want to know who we are (RFC 4954), wherever they say it.
const WHO_WE_ARE: [u16; 4] = [530, 534, 535, 538];
/// What they say of the order and the wording of commands, and no address is to blame for.
const PROTOCOL: [u16; 4] = [500, 502, 503, 504];

impl Refusal {
    /// What lettre's `error` means there.
    pub(super) fn of(at: At, error: &smtp::Error) -> Self {
        let why = if let Some(code) = error.status() {
            // The words themselves are kept nowhere: they often repeat the address.
            let words = error.source().map(ToString::to_string).unwrap_or_default();
            Why::Answer(u16::from(code), enhanced(&words))
        } else if error.is_timeout() {
            Why::TooSlow
        } else if error.is_tls() {
            Why::Tls
        } else if error.is_client() {
            Why::Lacks
        } else {
            Why::Gone
        };
        Self { at, why }
    }

    /// It took too long.
    pub(super) const fn too_slow(at: At) -> Self {
        Self {
            at,
            why: Why::TooSlow,
        }
    }

    /// The server can't be told an address that is not ASCII.
    pub(super) const fn takes_ascii_only(at: At) -> Self {
        Self { at, why: Why::Lacks }
    }

    /// Whether the next mail can be told over the same connection: what came was an answer, whole and
    /// understood. After anything else part of one may still be on its way, and would be taken for the
    /// answer to what is said next.
    pub(super) const fn leaves_the_talk_in_step(&self) -> bool {
        matches!(self.why, Why::Answer(..) | Why::Lacks)
    }

    /// What is to become of the mail. Only a refusal for good of its recipient, or of itself, ends it.
    pub(super) fn meaning(&self) -> PostError {
        let said = self.to_string();
        if !matches!(self.at, At::Recipient | At::Message) {
            return PostError::Unavailable(said);
        }
        let Why::Answer(code, enhanced) = self.why else {
            return PostError::Temporary(said);
        };
        // Some judge the sender only here (RFC 3463, 7 and 8 of the addresses).
        let is_sender = matches!(enhanced, Some((1, 7 | 8)));
        // Security and policy: it may be us whom they refuse (relaying, sender, reputation), or this
        // recipient or text, while all others are taken. So it is tried again, holds up nobody else,
        // and is given up after the usual time.
        let is_policy = matches!(enhanced, Some((7, _))) || WHO_WE_ARE.contains(&code);
        if is_sender {
            PostError::Unavailable(said)
        } else if (500..600).contains(&code) && !PROTOCOL.contains(&code) && !is_policy {
            PostError::Permanent(said)
        } else {
            PostError::Temporary(said)
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.at {
            At::Connecting => " when we connect",
            At::StartTls => " to STARTTLS",
            At::LoggingIn => " to our user and password",
            At::Sender => " to our sender (`notifications.mail_from`)",
            At::Recipient | At::Message => "",
        };
        match (&self.why, self.at) {
            (Why::Answer(code, None), _) => write!(f, "the mail server answers {code}{what}"),
            (Why::Answer(code, Some((subject, detail))), _) => {
                let class = code / 100;
                write!(
                    f,
                    "the mail server answers {code} {class}.{subject}.{detail}{what}"
                )
            }
            (Why::TooSlow, _) => write!(f, "the mail server takes too long{what}"),
            (Why::Tls, _) => f.write_str("the mail server's TLS is not trusted"),
            (Why::Lacks, At::Connecting | At::StartTls) => f.write_str("the mail server has no TLS"),
            (Why::Lacks, At::LoggingIn) => f.write_str("the mail server takes no password"),
            (Why::Lacks, _) => f.write_str("the mail server takes ASCII addresses only"),
            (Why::Gone, At::Connecting) => f.write_str("the mail server can't be reached"),
            (Why::Gone, _) => write!(f, "the mail server breaks off{what}"),
        }
    }
}

/// Subject and detail of the enhanced code that `words` begin with, such as `5.1.1 No such user`.
fn enhanced(words: &str) -> Option<(u16, u16)> {
    let mut parts = words.split_whitespace().next()?.split('.');
    let class: u16 = parts.next()?.parse().ok()?;
    let subject = parts.next()?.parse().ok()?;
    let detail = parts.next()?.parse().ok()?;
    (matches!(class, 4 | 5) && parts.next().is_none()).then_some((subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(at: At, words: &str) -> PostError {
        let (code, words) = words.split_once(' ').unwrap();
        let why = Why::Answer(code.parse().unwrap(), enhanced(words));
        Refusal { at, why }.meaning()
    }

    #[test]
    fn only_a_recipient_or_a_message_that_is_refused_for_good_ends_a_mail() {
        for (at, words) in [
            (At::Recipient, "550 No such user"),
            (At::Recipient, "550 5.1.1 No such user"),
            (At::Recipient, "553 5.1.3 Bad syntax"),
            (At::Recipient, "501 Bad address"),
            (At::Recipient, "552 5.2.2 Mailbox full"),
            (At::Message, "552 5.3.4 Too big"),
            (At::Message, "554 5.6.0 Bad content"),
        ] {
            let meaning = answer(at, words);
            assert!(
                matches!(meaning, PostError::Permanent(_)),
                "{at:?} {words}: {meaning}"
            );
        }
        for (at, words) in [
            (At::Recipient, "451 Later"),
            (At::Recipient, "450 4.2.0 Greylisted"),
            (At::Message, "452 4.3.1 Full"),
            (At::Recipient, "554 5.7.1 Relay access denied"),
            (At::Message, "550 5.7.26 Unauthenticated"),
            (At::Recipient, "503 Authenticate first"),
            (At::Recipient, "454 4.7.1 Relay access denied"),
            (At::Recipient, "530 Log in"),
            (At::Message, "421 Bye"),
        ] {
            let meaning = answer(at, words);
            assert!(
                matches!(meaning, PostError::Temporary(_)),
                "{at:?} {words}: {meaning}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_us_is_no_fault_of_a_mail() {
        for at in [At::Connecting, At::StartTls, At::LoggingIn, At::Sender] {
            for words in ["421 Bye", "550 No", "535 5.7.8 Wrong", "554 5.7.1 Not you"] {
                let meaning = answer(at, words);
                assert!(
                    matches!(meaning, PostError::Unavailable(_)),
                    "{at:?} {words}: {meaning}"
                );
            }
            for why in [Why::TooSlow, Why::Tls, Why::Lacks, Why::Gone] {
                let meaning = Refusal { at, why }.meaning();
                assert!(matches!(meaning, PostError::Unavailable(_)), "{at:?}: {meaning}");
            }
        }
        for words in ["550 5.1.8 Sender unknown", "553 5.1.7 Bad sender"] {
            let meaning = answer(At::Recipient, words);
            assert!(matches!(meaning, PostError::Unavailable(_)), "{words}: {meaning}");
        }
    }

    #[test]
    fn only_behind_a_whole_answer_the_next_mail_is_told_over_the_same_connection() {
        let at = At::Recipient;
        for (why, in_step) in [
            (Why::Answer(550, None), true),
            (Why::Lacks, true),
            (Why::Gone, false),
            (Why::TooSlow, false),
            (Why::Tls, false),
        ] {
            assert_eq!(Refusal { at, why }.leaves_the_talk_in_step(), in_step);
        }
    }

    #[test]
    fn what_is_said_names_the_step_and_nothing_of_the_servers_words() {
        let said = answer(At::Sender, "550 5.1.8 <noreply@example.com>: rejected").to_string();
        assert_eq!(
            said,
            "the mail server answers 550 5.1.8 to our sender (`notifications.mail_from`)"
        );
        let said = answer(At::Recipient, "550 anna@example.com is unknown").to_string();
        assert_eq!(said, "the mail server answers 550");
    }
}

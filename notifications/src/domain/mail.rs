//! A mail: one sending of a letter, or of a secret link.

use chrono::{Duration, SubsecRound as _};
use serde::{Deserialize, Serialize};
use shared::{clock::Instant, contracts::MailPurpose};
use utoipa::ToSchema;

use super::{
    letter::{LetterKind, Reader, Text},
    wording,
};

/// How a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailStatus {
    /// To be sent.
    Waiting,
    /// The mail server took it.
    Sent,
    /// Given up: the mail server refused it for good, or too often.
    Failed,
    /// There was nobody to send it to, or no reason any more.
    Skipped,
}

impl MailStatus {
    /// Every status there is.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Sent, Self::Failed, Self::Skipped];

    /// As it stands in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Tries after which a mail is given up: with the pauses below, about a day.
pub const ATTEMPTS: i32 = 34;

/// For how long whoever has taken a mail up has it for themselves; longer than a try takes.
pub const LEASE: Duration = Duration::seconds(120);

const FIRST_PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 3_600_000;
/// While nobody's mail goes out, it is seen soon that it does again.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::seconds(60);

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The mail server took it.
    Sent,
    /// It may work later. What went wrong, without anything personal.
    Postponed(String),
    /// No mail goes out at present, and not because of this one: the try does not count. What went
    /// wrong, and when it is tried again.
    Held(String, Instant),
    /// It never will.
    Refused(String),
    /// There is nobody to send it to, or no reason any more.
    Skipped(String),
}

/// How a mail stands after a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is done with.
    pub status: MailStatus,
    /// When it is tried again, if it is not.
    pub next_attempt_at: Option<Instant>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether the try counts among those after which it is given up.
    pub counts: bool,
}

/// How a mail stands after its try number `attempts`. `spread`, from 0 to 1000, says where in the
/// second half of its pause it is tried again, so that what failed together does not come back
/// together.
#[must_use]
pub fn after(tried: Tried, attempts: i32, now: Instant, spread: u16) -> Standing {
    let done = |status, error| Standing {
        status,
        next_attempt_at: None,
        error,
        counts: true,
    };
    match tried {
        Tried::Sent => done(MailStatus::Sent, None),
        Tried::Refused(error) => done(MailStatus::Failed, Some(error)),
        Tried::Skipped(error) => done(MailStatus::Skipped, Some(error)),
        Tried::Postponed(error) if attempts >= ATTEMPTS => done(MailStatus::Failed, Some(error)),
        Tried::Postponed(error) => Standing {
            status: MailStatus::Waiting,
            next_attempt_at: Some((now + pause(attempts, spread)).trunc_subsecs(6)),
            error: Some(error),
            counts: true,
        },
        Tried::Held(error, until) => Standing {
            status: MailStatus::Waiting,
            next_attempt_at: Some(until),
            error: Some(error),
            counts: false,
        },
    }
}

/// When it is looked again whether mails go out, after the look number `times` in which none did.
/// `spread` as above.
#[must_use]
pub fn look_again_at(times: i32, now: Instant, spread: u16) -> Instant {
    (now + pause(times, spread).min(LONGEST_OUTAGE_PAUSE)).trunc_subsecs(6)
}

fn pause(attempts: i32, spread: u16) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    let longest = (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS);
    Duration::milliseconds(longest / 2 + longest / 2 * i64::from(spread.min(1_000)) / 1_000)
}

/// Whether a letter goes to an address that nobody has shown to be theirs: it may be somebody
/// else's, whom other people's money does not concern.
#[must_use]
pub const fn goes_to_unconfirmed(kind: LetterKind) -> bool {
    kind.is_about_security() || matches!(kind, LetterKind::Welcome)
}

/// Where the secret `token` of a mail leads to: a page of whoever runs the platform, at `public_url`.
#[must_use]
pub fn link(public_url: &str, purpose: MailPurpose, token: &str) -> String {
    let page = match purpose {
        MailPurpose::ConfirmEmail => "confirm-email",
        MailPurpose::ResetPassword => "reset-password",
    };
    let mut link = format!("{}/{page}?token=", public_url.trim_end_matches('/'));
    for byte in token.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            link.push_str(&format!("%{byte:02X}"));
        }
    }
    link
}

/// What a mail with a secret link says.
#[must_use]
pub fn with_link(purpose: MailPurpose, link: &str, expires_at: Instant, reader: Reader) -> Text {
    match purpose {
        MailPurpose::ConfirmEmail => wording::confirm_email_mail(link, expires_at, reader),
        MailPurpose::ResetPassword => wording::reset_password_mail(link, expires_at, reader),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};
    use proptest::prelude::*;
    use shared::contracts::Locale;

    use super::*;
    use crate::domain::samples::in_utc;

    fn now() -> Instant {
        Utc.with_ymd_and_hms(2026, 11, 21, 10, 30, 0).unwrap()
    }

    fn postponed(attempts: i32, spread: u16) -> Standing {
        after(Tried::Postponed("451".to_owned()), attempts, now(), spread)
    }

    #[test]
    fn statuses_are_read_back() {
        for status in MailStatus::ALL {
            assert_eq!(MailStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::json!(status), status.as_str());
        }
        assert_eq!(MailStatus::parse("lost"), None);
    }

    #[test]
    fn what_ends_a_mail_ends_it() {
        for (tried, status) in [
            (Tried::Sent, MailStatus::Sent),
            (Tried::Refused("550".to_owned()), MailStatus::Failed),
            (Tried::Skipped("deleted".to_owned()), MailStatus::Skipped),
        ] {
            let standing = after(tried, 1, now(), 0);
            assert_eq!((standing.status, standing.next_attempt_at), (status, None));
        }
    }

    #[test]
    fn a_try_that_fails_for_everybody_does_not_count() {
        let until = look_again_at(1, now(), 0);
        let standing = after(Tried::Held("535".to_owned(), until), ATTEMPTS + 1, now(), 0);
        assert_eq!(
            (standing.status, standing.next_attempt_at, standing.counts),
            (MailStatus::Waiting, Some(until), false)
        );
        assert!(until >= now() + Duration::milliseconds(500));
        assert_eq!(look_again_at(1_000, now(), 1_000), now() + Duration::minutes(1));
    }

    #[test]
    fn a_mail_is_given_up_after_about_a_day() {
        assert_eq!(postponed(ATTEMPTS, 0).status, MailStatus::Failed);
        let least: Duration = (1..ATTEMPTS).map(|attempts| pause(attempts, 0)).sum();
        let most: Duration = (1..ATTEMPTS).map(|attempts| pause(attempts, 1_000)).sum();
        assert!(least >= Duration::hours(11), "{least}");
        assert!(most <= Duration::hours(24), "{most}");
    }

    proptest! {
        #[test]
        fn pauses_grow_and_stay_bounded(attempts in 1..ATTEMPTS, spread in 0..=1_000_u16) {
            let standing = postponed(attempts, spread);
            prop_assert_eq!(standing.status, MailStatus::Waiting);
            let next = standing.next_attempt_at.unwrap();
            prop_assert!(next >= now() + Duration::milliseconds(500));
            prop_assert!(next <= now() + Duration::hours(1));
            prop_assert!(pause(attempts + 1, spread) >= pause(attempts, spread));
        }

        #[test]
        fn no_token_breaks_out_of_its_link(token in any::<String>()) {
            let link = link("https://example.com/", MailPurpose::ResetPassword, &token);
            let rest = link.strip_prefix("https://example.com/reset-password?token=").unwrap();
            prop_assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        }
    }

    #[test]
    fn both_purposes_have_words_in_both_languages() {
        let mut said = Vec::new();
        for purpose in [MailPurpose::ConfirmEmail, MailPurpose::ResetPassword] {
            let link = link("https://example.com", purpose, "a-1_");
            for locale in [Locale::En, Locale::Ru] {
                let text = with_link(purpose, &link, now(), in_utc(locale));
                assert!(text.body.lines().any(|line| line == link), "{}", text.body);
                assert!(text.body.contains("2026"), "{}", text.body);
                said.push(text.subject);
            }
        }
        said.sort();
        said.dedup();
        assert_eq!(said.len(), 4);
    }
}

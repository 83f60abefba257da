//! The words of every letter, in every language. A language is one file with one function a
//! letter; the compiler misses what a language lacks.

mod en;
mod format;
mod ru;
#[cfg(test)]
mod tests;

use chrono::TimeDelta;
use shared::{
    clock::Instant,
    contracts::{
        Locale, MailRequestedV1, PromocodeGrantedV1, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1,
        SubscriptionEndingV1, TopUpFailedV1, WalletCreditedV1, WalletDebitedV1, WithdrawalFailedV1,
    },
    zone::Zone,
};

use super::{
    letter::{Reader, Text},
    outcome::{AccountBlocked, AccountUnblocked},
};

/// Words of welcome.
pub(super) fn welcome(locale: Locale) -> Text {
    match locale {
        Locale::En => en::welcome(),
        Locale::Ru => ru::welcome(),
    }
}

/// A mail with the link that shows an address to be theirs.
pub(super) fn confirm_email_mail(link: &str, expires_at: Instant, reader: Reader) -> Text {
    match reader.locale {
        Locale::En => en::confirm_email_mail(link, expires_at, reader.zone),
        Locale::Ru => ru::confirm_email_mail(link, expires_at, reader.zone),
    }
}

/// A mail with the link under which a new password is chosen.
pub(super) fn reset_password_mail(link: &str, expires_at: Instant, reader: Reader) -> Text {
    match reader.locale {
        Locale::En => en::reset_password_mail(link, expires_at, reader.zone),
        Locale::Ru => ru::reset_password_mail(link, expires_at, reader.zone),
    }
}

macro_rules! letters {
    ($($(#[$doc:meta])* $letter:ident($event:ty $(, $with:ident)?);)*) => {$(
        $(#[$doc])*
        pub(super) fn $letter(event: &$event, reader: Reader) -> Text {
            match reader.locale {
                Locale::En => en::$letter(event $(, reader.$with)?),
                Locale::Ru => ru::$letter(event $(, reader.$with)?),
            }
        }
    )*};
}

letters! {
    /// Money came into the wallet.
    wallet_credited(WalletCreditedV1);
    /// Money left the wallet.
    wallet_debited(WalletDebitedV1);
    /// A withdrawal was refused.
    withdrawal_failed(WithdrawalFailedV1);
    /// The payment provider declined a top-up.
    top_up_failed(TopUpFailedV1);
    /// A purchase was paid.
    purchase_paid(PurchasePaidV1, zone);
    /// A purchase failed.
    purchase_failed(PurchaseFailedV1);
    /// A purchase was given back.
    purchase_refunded(PurchaseRefundedV1, zone);
    /// A subscription ends soon.
    subscription_ending(SubscriptionEndingV1, zone);
    /// A promocode was made available.
    promocode_granted(PromocodeGrantedV1, zone);
    /// The account was blocked.
    account_blocked(AccountBlocked);
    /// The block was lifted.
    account_unblocked(AccountUnblocked);
    /// Somebody asked for a new password.
    password_reset(MailRequestedV1, zone);
}

/// How many of the subscriptions that a refund has moved a letter names.
const MOST_MOVED: usize = 20;

/// From when to when a promocode can be used, as it is shown.
struct Validity {
    /// None if it can be used already.
    from: Option<String>,
    /// The last minute in which it can be used; none if there is no end.
    to: Option<String>,
}

/// In the campaign's zone; in `reader`, the one of the user, if it has none or one that this program
/// does not know.
fn validity(event: &PromocodeGrantedV1, reader: Zone, locale: Locale) -> Validity {
    let zone = event.timezone.as_deref().and_then(|name| name.parse().ok());
    let shown = |at: Instant| format::instant(at, zone.unwrap_or(reader), locale);
    let is_to_come = |starts_at: &Instant| *starts_at > event.granted_at;
    Validity {
        from: event.starts_at.filter(is_to_come).map(shown),
        // A minute that is begun belongs to it.
        to: event
            .ends_at
            .map(|ends_at| shown(ends_at - TimeDelta::nanoseconds(1))),
    }
}

/// `lines`, one below the other.
fn text(subject: String, lines: &[String]) -> Text {
    Text {
        subject,
        body: lines.join("\n"),
    }
}

/// What somebody else wrote, on one line: a subject with a line break in it could become
/// another header of a mail, and PostgreSQL's text takes no NUL.
fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    text.trim().to_owned()
}

//! English.

use shared::{
    clock::Instant,
    contracts::{
        FailureReason, Locale, MailRequestedV1, MovedSubscription, PromocodeGrantedV1, PurchaseFailedV1,
        PurchasePaidV1, PurchaseRefundedV1, Reason, RefusalCode, SubscriptionEndingV1, TopUpFailedV1,
        WalletCreditedV1, WalletDebitedV1, WithdrawalFailedV1,
    },
    money::Money,
    zone::Zone,
};

use super::{MOST_MOVED, Validity, format, plain, text, validity};
use crate::domain::{
    letter::Text,
    outcome::{AccountBlocked, AccountUnblocked},
};

pub(super) fn welcome() -> Text {
    text(
        "Welcome".to_owned(),
        &["Your account is ready. Letters about your wallet and your purchases will come here.".to_owned()],
    )
}

pub(super) fn wallet_credited(event: &WalletCreditedV1) -> Text {
    text(
        if event.by_administrator {
            format!("An administrator put {} into your wallet", money(event.amount))
        } else {
            format!("Your wallet was topped up by {}", money(event.amount))
        },
        &movement(event.amount, event.balance_after, event.reason.as_deref()),
    )
}

pub(super) fn wallet_debited(event: &WalletDebitedV1) -> Text {
    text(
        if event.by_administrator {
            format!("An administrator took {} out of your wallet", money(event.amount))
        } else {
            format!("{} left your wallet", money(event.amount))
        },
        &movement(event.amount, event.balance_after, event.reason.as_deref()),
    )
}

fn movement(amount: Money, balance: Money, why: Option<&str>) -> Vec<String> {
    let mut lines = vec![
        format!("Amount: {}", money(amount)),
        format!("Balance: {}", money(balance)),
    ];
    lines.extend(why.map(reason));
    lines
}

pub(super) fn withdrawal_failed(event: &WithdrawalFailedV1) -> Text {
    text(
        format!("Your withdrawal of {} was refused", money(event.amount)),
        &[
            "Nothing left your wallet.".to_owned(),
            format!("Amount: {}", money(event.amount)),
            format!("Balance: {}", money(event.balance)),
            format!("Reason: {}.", failure(event.reason)),
        ],
    )
}

pub(super) fn top_up_failed(event: &TopUpFailedV1) -> Text {
    text(
        format!("Your top-up of {} was declined", money(event.amount)),
        &[
            "Nothing came into your wallet.".to_owned(),
            format!("Amount: {}", money(event.amount)),
            format!("Balance: {}", money(event.balance)),
            reason(
                event
                    .reason
                    .as_deref()
                    .unwrap_or("the payment provider gave none."),
            ),
        ],
    )
}

pub(super) fn purchase_paid(event: &PurchasePaidV1, zone: Zone) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("You bought “{tariff}”."),
        format!("Cost: {}", money(event.charged)),
    ];
    if event.discount.amount.is_positive() {
        lines.push(format!(
            "Discount: {} off the price of {}",
            money(event.discount),
            money(event.list_price)
        ));
    }
    lines.push(format!("Balance: {}", money(event.balance_after)));
    lines.push(format!(
        "The subscription runs until {}.",
        instant(event.subscription_ends_at, zone)
    ));
    text(format!("“{tariff}” is paid: {}", money(event.charged)), &lines)
}

pub(super) fn purchase_failed(event: &PurchaseFailedV1) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("You did not buy “{tariff}”; nothing was charged."),
        format!("Cost: {}", money(event.cost)),
        format!("Balance: {}", money(event.balance)),
    ];
    if event.refusal_reasons.is_empty() {
        lines.push(format!("Reason: {}.", failure(event.reason)));
    } else {
        lines.push(format!("Reason: {}:", failure(event.reason)));
        lines.extend(
            event
                .refusal_reasons
                .iter()
                .map(|reason| format!("– {}", refusal(reason))),
        );
    }
    text(format!("Your purchase of “{tariff}” failed"), &lines)
}

pub(super) fn purchase_refunded(event: &PurchaseRefundedV1, zone: Zone) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("Your purchase of “{tariff}” was given back, and its subscription has ended."),
        format!("Refunded: {}", money(event.refunded)),
        format!("Balance: {}", money(event.balance_after)),
    ];
    lines.extend(moved(&event.moved, zone));
    lines.extend(event.reason.as_deref().map(reason));
    text(
        format!("“{tariff}” was refunded: {}", money(event.refunded)),
        &lines,
    )
}

/// What follows a subscription that was given back runs at other times than before.
fn moved(moved: &[MovedSubscription], zone: Zone) -> Vec<String> {
    let mut lines = Vec::new();
    if !moved.is_empty() {
        lines.push("What you have bought after it now runs earlier:".to_owned());
    }
    lines.extend(moved.iter().take(MOST_MOVED).map(|moved| {
        format!(
            "– “{}” from {} until {}",
            plain(&moved.tariff_name),
            instant(moved.starts_at, zone),
            instant(moved.ends_at, zone)
        )
    }));
    if let Some(last) = moved.get(MOST_MOVED..).and_then(<[_]>::last) {
        let more = moved.len() - MOST_MOVED;
        let until = instant(last.ends_at, zone);
        lines.push(format!("– and others: {more}, the last one until {until}"));
    }
    lines
}

pub(super) fn subscription_ending(event: &SubscriptionEndingV1, zone: Zone) -> Text {
    let tariff = plain(&event.tariff_name);
    text(
        format!("Your subscription to “{tariff}” ends soon"),
        &[
            format!("It ends on {}.", instant(event.ends_at, zone)),
            "To go on, buy it again.".to_owned(),
        ],
    )
}

pub(super) fn promocode_granted(event: &PromocodeGrantedV1, zone: Zone) -> Text {
    let mut lines = vec![format!("Promocode: {}", plain(&event.promocode))];
    if let Some(title) = &event.campaign_title {
        lines.push(format!("Campaign: {}", plain(&title.en)));
    }
    let Validity { from, to } = validity(event, zone, Locale::En);
    match (from, to) {
        (Some(from), Some(to)) => lines.push(format!("It can be used from {from} to {to}.")),
        (Some(from), None) => lines.push(format!("It can be used from {from} on.")),
        (None, Some(to)) => lines.push(format!("It can be used until {to}.")),
        (None, None) => {}
    }
    text("You have got a promocode".to_owned(), &lines)
}

pub(super) fn account_blocked(_: &AccountBlocked) -> Text {
    text(
        "Your account was blocked".to_owned(),
        &[
            "An administrator blocked it. Until they lift the block you can't buy or use anything."
                .to_owned(),
        ],
    )
}

pub(super) fn account_unblocked(_: &AccountUnblocked) -> Text {
    text(
        "Your account is no longer blocked".to_owned(),
        &["You can use it as before.".to_owned()],
    )
}

pub(super) fn password_reset(event: &MailRequestedV1, zone: Zone) -> Text {
    text(
        "A new password was asked for".to_owned(),
        &[
            format!(
                "Somebody, probably you, asked on {} to choose a new password. The link is in your mail.",
                instant(event.requested_at, zone)
            ),
            "If it was not you, do nothing: your password stays as it is.".to_owned(),
        ],
    )
}

pub(super) fn confirm_email_mail(link: &str, expires_at: Instant, zone: Zone) -> Text {
    text(
        "Confirm your address".to_owned(),
        &[
            "Open this link to show that the address is yours:".to_owned(),
            link.to_owned(),
            format!("It is good until {}.", instant(expires_at, zone)),
            "If you have not signed up, do nothing.".to_owned(),
        ],
    )
}

pub(super) fn reset_password_mail(link: &str, expires_at: Instant, zone: Zone) -> Text {
    text(
        "Choose a new password".to_owned(),
        &[
            "Open this link to choose a new password:".to_owned(),
            link.to_owned(),
            format!("It is good until {}, and once.", instant(expires_at, zone)),
            "If you did not ask for it, do nothing: your password stays as it is.".to_owned(),
        ],
    )
}

fn instant(at: Instant, zone: Zone) -> String {
    format::instant(at, zone, Locale::En)
}

fn reason(why: &str) -> String {
    format!("Reason: {}", plain(why))
}

fn money(money: Money) -> String {
    format::money(money, Locale::En)
}

const fn failure(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::InsufficientFunds => "there is not enough money in your wallet",
        FailureReason::PromocodeRefused => "the promocode was refused",
        FailureReason::UserBlocked => "your account is blocked",
        FailureReason::TimedOut => "the promocode could not be checked in time",
        FailureReason::Cancelled => "you cancelled it",
        FailureReason::PriceChanged => "the price is not the one that you expected",
    }
}

/// Loyalty's own sentence, which names what was expected and found; ours where it has none.
fn refusal(reason: &Reason) -> String {
    let detail = plain(&reason.detail);
    if detail.is_empty() {
        refusal_code(reason.code).to_owned()
    } else {
        detail
    }
}

const fn refusal_code(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::UnknownPromocode => "There is no such promocode.",
        RefusalCode::CampaignNotStarted => "The promocode is not valid yet.",
        RefusalCode::CampaignEnded => "The promocode is no longer valid.",
        RefusalCode::CampaignPaused => "The campaign is paused.",
        RefusalCode::PromocodeDisabled => "The promocode is switched off.",
        RefusalCode::UsesExhausted => "Every use of the promocode is taken.",
        RefusalCode::BudgetExhausted => "The campaign's budget is spent.",
        RefusalCode::UserLimitReached => "You have used it as often as one user may.",
        RefusalCode::PeriodLimitReached => "You have used it as often as one user may in this period.",
        RefusalCode::NotGranted => "The promocode is not available to you.",
        RefusalCode::TariffNotEligible => "The promocode is not for this tariff.",
        RefusalCode::PriceBelowMinimum => "The price is below the minimum for this promocode.",
        RefusalCode::NotFirstPurchase => "The promocode is for a first purchase only.",
        RefusalCode::NotNewUser => "The promocode is for new users only.",
        RefusalCode::UserBlocked => "Your account is blocked.",
        RefusalCode::TooManyAttempts => "Too many wrong promocodes were tried.",
        RefusalCode::NoDiscount => "The promocode takes nothing off this price.",
        RefusalCode::UsesHeld => "Every use that is left is held for other purchases; please try again.",
    }
}

//! English.

use shared::{
    clock::Instant,
    contracts::{
        FailureReason, PurchaseFailedV1, PurchasePaidV1, Reason, RefusalCode, WalletCreditedV1,
        WalletDebitedV1, WithdrawalFailedV1,
    },
};

use super::{plain, text};
use crate::domain::letter::Text;

pub(super) fn welcome() -> Text {
    text(
        "Welcome".to_owned(),
        &["Your account is ready. Letters about your wallet and your purchases will come here.".to_owned()],
    )
}

pub(super) fn wallet_credited(event: &WalletCreditedV1) -> Text {
    text(
        format!("Your wallet was topped up by {}", event.amount),
        &[
            format!("Amount: {}", event.amount),
            format!("Balance: {}", event.balance_after),
        ],
    )
}

pub(super) fn wallet_debited(event: &WalletDebitedV1) -> Text {
    text(
        format!("{} left your wallet", event.amount),
        &[
            format!("Amount: {}", event.amount),
            format!("Balance: {}", event.balance_after),
        ],
    )
}

pub(super) fn withdrawal_failed(event: &WithdrawalFailedV1) -> Text {
    text(
        format!("Your withdrawal of {} was refused", event.amount),
        &[
            "Nothing left your wallet.".to_owned(),
            format!("Amount: {}", event.amount),
            format!("Balance: {}", event.balance),
            format!("Reason: {}.", failure(event.reason)),
        ],
    )
}

pub(super) fn purchase_paid(event: &PurchasePaidV1) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("You bought “{tariff}”."),
        format!("Cost: {}", event.charged),
    ];
    if event.discount.amount.is_positive() {
        lines.push(format!(
            "Discount: {} off the price of {}",
            event.discount, event.list_price
        ));
    }
    lines.push(format!("Balance: {}", event.balance_after));
    lines.push(format!(
        "The subscription runs until {}.",
        instant(event.subscription_ends_at)
    ));
    text(format!("“{tariff}” is paid: {}", event.charged), &lines)
}

pub(super) fn purchase_failed(event: &PurchaseFailedV1) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("You did not buy “{tariff}”; nothing was charged."),
        format!("Cost: {}", event.cost),
        format!("Balance: {}", event.balance),
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

fn instant(at: Instant) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

const fn failure(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::InsufficientFunds => "there is not enough money in your wallet",
        FailureReason::PromocodeRefused => "the promocode was refused",
        FailureReason::UserBlocked => "your account is blocked",
        FailureReason::TimedOut => "the promocode could not be checked in time",
        FailureReason::Cancelled => "you cancelled it",
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
    }
}

use proptest::prelude::*;
use shared::contracts::{
    FailureReason, Locale, PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1, Reason, RefusalCode,
    TopUpFailedV1, WalletCreditedV1, WalletDebitedV1,
};

use super::format::money;
use crate::domain::{
    outcome::Outcome,
    samples::{credited, debited, declined, failed, in_utc, paid, reason, refunded, roubles},
};

const FAILURES: [FailureReason; 6] = [
    FailureReason::InsufficientFunds,
    FailureReason::PromocodeRefused,
    FailureReason::UserBlocked,
    FailureReason::TimedOut,
    FailureReason::Cancelled,
    FailureReason::PriceChanged,
];

const REFUSALS: [RefusalCode; 18] = [
    RefusalCode::UnknownPromocode,
    RefusalCode::CampaignNotStarted,
    RefusalCode::CampaignEnded,
    RefusalCode::CampaignPaused,
    RefusalCode::PromocodeDisabled,
    RefusalCode::UsesExhausted,
    RefusalCode::BudgetExhausted,
    RefusalCode::UserLimitReached,
    RefusalCode::PeriodLimitReached,
    RefusalCode::NotGranted,
    RefusalCode::TariffNotEligible,
    RefusalCode::PriceBelowMinimum,
    RefusalCode::NotFirstPurchase,
    RefusalCode::NotNewUser,
    RefusalCode::UserBlocked,
    RefusalCode::TooManyAttempts,
    RefusalCode::NoDiscount,
    RefusalCode::UsesHeld,
];

/// The last lines of what a failure for `reason` says in `locale`.
fn explanation(reason: FailureReason, refusals: Vec<Reason>, locale: Locale) -> String {
    let event = PurchaseFailedV1 {
        reason,
        refusal_reasons: refusals,
        ..failed()
    };
    event.letter(in_utc(locale)).body.lines().skip(3).collect()
}

#[test]
fn every_reason_has_words_of_its_own_in_its_language() {
    for (locale, cyrillic) in [(Locale::En, false), (Locale::Ru, true)] {
        let mut said: Vec<_> =
            FAILURES
                .iter()
                .map(|failure| explanation(*failure, Vec::new(), locale))
                .chain(REFUSALS.iter().map(|code| {
                    explanation(FailureReason::PromocodeRefused, vec![reason(*code, "")], locale)
                }))
                .collect();
        for words in &said {
            let is_cyrillic = words.chars().any(|letter| ('а'..='я').contains(&letter));
            assert_eq!(is_cyrillic, cyrillic, "{words}");
        }
        said.sort();
        said.dedup();
        assert_eq!(said.len(), FAILURES.len() + REFUSALS.len());
    }
}

proptest! {
    #[test]
    fn nobody_else_s_text_breaks_a_line(name in any::<String>(), detail in any::<String>()) {
        let event = PurchaseFailedV1 {
            tariff_name: format!("a\r\n{name}\0"),
            reason: FailureReason::PromocodeRefused,
            refusal_reasons: vec![reason(RefusalCode::UsesExhausted, &detail)],
            ..failed()
        };
        for locale in [Locale::En, Locale::Ru] {
            let letter = event.letter(in_utc(locale));
            prop_assert!(!letter.subject.chars().any(char::is_control));
            prop_assert_eq!(letter.body.split('\n').count(), 5);
            prop_assert!(!letter.body.replace('\n', "").chars().any(char::is_control));
        }
    }

    #[test]
    fn nobody_s_reason_breaks_a_line(reason in any::<String>()) {
        let reason = Some(format!("a\r\n{reason}\0"));
        let credited = WalletCreditedV1 { reason: reason.clone(), ..credited() };
        let debited = WalletDebitedV1 { reason: reason.clone(), ..debited() };
        let refunded = PurchaseRefundedV1 { reason: reason.clone(), ..refunded() };
        let declined = TopUpFailedV1 { reason, ..declined() };
        for locale in [Locale::En, Locale::Ru] {
            for (letter, lines) in [
                (credited.letter(in_utc(locale)), 3),
                (debited.letter(in_utc(locale)), 3),
                (refunded.letter(in_utc(locale)), 4),
                (declined.letter(in_utc(locale)), 4),
            ] {
                prop_assert_eq!(letter.body.split('\n').count(), lines);
                prop_assert!(!letter.body.replace('\n', "").chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn every_paid_letter_names_its_amounts(price in 0..=i64::MAX, part in 0..=i64::MAX, balance in 0..=i64::MAX) {
        let discount = part % price.max(1);
        let event = PurchasePaidV1 {
            list_price: roubles(price),
            discount: roubles(discount),
            charged: roubles(price - discount),
            balance_after: roubles(balance),
            ..paid()
        };
        for locale in [Locale::En, Locale::Ru] {
            let body = event.letter(in_utc(locale)).body;
            let (cost, left) = (
                format!(": {}\n", money(event.charged, locale)),
                format!(": {}\n", money(event.balance_after, locale)),
            );
            prop_assert!(body.contains(&cost), "no cost in {}", body);
            prop_assert!(body.contains(&left), "no balance in {}", body);
            let names_discount = body.contains(&format!(": {} ", money(event.discount, locale)));
            prop_assert_eq!(names_discount, discount > 0);
        }
    }
}

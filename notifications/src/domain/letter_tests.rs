use chrono::Duration;
use serde_json::json;
use shared::contracts::{
    FailureReason, Locale, PurchaseFailedV1, PurchasePaidV1, RefusalCode, TopUpFailedV1, WalletCreditedV1,
};

use super::{
    letter::{Letter, LetterKind},
    outcome::Outcome,
    samples::{
        credited, debited, declined, failed, in_utc, now, paid, reason, refused_withdrawal, registered,
        roubles,
    },
};

fn data(letter: &Letter) -> serde_json::Value {
    serde_json::to_value(&letter.data).unwrap()
}

#[track_caller]
fn says(letter: &Letter, subject: &str, body: &[&str]) {
    assert_eq!(letter.subject.replace('\u{a0}', " "), subject);
    assert_eq!(letter.body.replace('\u{a0}', " "), body.join("\n"));
}

#[test]
fn kinds_are_read_back() {
    for kind in LetterKind::ALL {
        assert_eq!(LetterKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(LetterKind::parse("love_letter"), None);
    for kind in LetterKind::ALL {
        assert_eq!(
            json!(kind),
            kind.as_str(),
            "the wire and the database say the same"
        );
    }
}

#[test]
fn a_welcome_is_written_in_both_languages() {
    let event = registered();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "Welcome",
        &["Your account is ready. Letters about your wallet and your purchases will come here."],
    );
    assert_eq!(letter.kind, LetterKind::Welcome);
    assert_eq!(letter.about, format!("welcome:{}", event.0.user_id));
    assert_eq!((letter.user_id, letter.occurred_at), (event.0.user_id, now()));
    assert_eq!(data(&letter), json!({}));
    says(
        &event.letter(in_utc(Locale::Ru)),
        "Добро пожаловать",
        &["Ваш аккаунт создан. Сюда будут приходить письма о кошельке и покупках."],
    );
}

#[test]
fn a_top_up_names_amount_and_balance_in_both_languages() {
    let event = credited();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "Your wallet was topped up by RUB 1,000.00",
        &["Amount: RUB 1,000.00", "Balance: RUB 1,234.56"],
    );
    assert_eq!(letter.kind, LetterKind::WalletCredited);
    assert_eq!(letter.about, format!("wallet_credited:{}", event.transfer_id));
    assert_eq!(
        data(&letter),
        json!({
            "transfer_id": event.transfer_id,
            "amount": {"amount": 100_000, "currency": "RUB"},
            "balance": {"amount": 123_456, "currency": "RUB"},
            "by_administrator": false,
        })
    );
    says(
        &event.letter(in_utc(Locale::Ru)),
        "Кошелёк пополнен на 1000,00 ₽",
        &["Сумма: 1000,00 ₽", "Баланс: 1234,56 ₽"],
    );
}

#[test]
fn a_withdrawal_names_amount_and_balance_in_both_languages() {
    let event = debited();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "RUB 100.00 left your wallet",
        &["Amount: RUB 100.00", "Balance: RUB 900.00"],
    );
    assert_eq!(letter.kind, LetterKind::WalletDebited);
    assert_eq!(letter.about, format!("wallet_debited:{}", event.transfer_id));
    assert_eq!(
        data(&letter)["balance"],
        json!({"amount": 90_000, "currency": "RUB"})
    );
    says(
        &event.letter(in_utc(Locale::Ru)),
        "С кошелька списано 100,00 ₽",
        &["Сумма: 100,00 ₽", "Баланс: 900,00 ₽"],
    );
}

#[test]
fn a_refused_withdrawal_names_the_reason_in_both_languages() {
    let event = refused_withdrawal();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "Your withdrawal of RUB 5,000.00 was refused",
        &[
            "Nothing left your wallet.",
            "Amount: RUB 5,000.00",
            "Balance: RUB 900.00",
            "Reason: there is not enough money in your wallet.",
        ],
    );
    assert_eq!(letter.kind, LetterKind::WithdrawalFailed);
    assert_eq!(letter.about, format!("withdrawal_failed:{}", event.withdrawal_id));
    assert_eq!(data(&letter)["reason"], "insufficient_funds");
    says(
        &event.letter(in_utc(Locale::Ru)),
        "Вывод 5000,00 ₽ отклонён",
        &[
            "Деньги с кошелька не списаны.",
            "Сумма: 5000,00 ₽",
            "Баланс: 900,00 ₽",
            "Причина: в кошельке недостаточно денег.",
        ],
    );
}

#[test]
fn a_declined_top_up_names_the_provider_s_reason_in_both_languages() {
    let event = declined();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "Your top-up of RUB 5,000.00 was declined",
        &[
            "Nothing came into your wallet.",
            "Amount: RUB 5,000.00",
            "Balance: RUB 900.00",
            "Reason: The card has expired.",
        ],
    );
    assert_eq!(letter.kind, LetterKind::TopUpFailed);
    assert_eq!(letter.about, format!("top_up_failed:{}", event.top_up_id));
    assert_eq!(
        data(&letter),
        json!({
            "top_up_id": event.top_up_id,
            "amount": {"amount": 500_000, "currency": "RUB"},
            "balance": {"amount": 90_000, "currency": "RUB"},
            "reason": "The card has expired.",
        })
    );
    let silent = TopUpFailedV1 {
        reason: None,
        ..event
    };
    says(
        &silent.letter(in_utc(Locale::Ru)),
        "Пополнение на 5000,00 ₽ отклонено",
        &[
            "Деньги в кошелёк не поступили.",
            "Сумма: 5000,00 ₽",
            "Баланс: 900,00 ₽",
            "Причина: платёжная система её не назвала.",
        ],
    );
    let letter = silent.letter(in_utc(Locale::En));
    assert!(letter.body.ends_with("Reason: the payment provider gave none."));
    assert!(data(&letter).get("reason").is_none(), "absent is not null");
}

#[test]
fn a_paid_purchase_names_cost_balance_and_end_in_both_languages() {
    let event = paid();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "“Basic” is paid: RUB 10.00",
        &[
            "You bought “Basic”.",
            "Cost: RUB 10.00",
            "Balance: RUB 890.00",
            "The subscription runs until December 21, 2026, 10:30 UTC.",
        ],
    );
    assert_eq!(letter.kind, LetterKind::PurchasePaid);
    assert_eq!(letter.about, format!("purchase_ended:{}", event.purchase_id));
    assert_eq!(
        data(&letter),
        json!({
            "purchase_id": event.purchase_id,
            "tariff_id": event.tariff_id,
            "tariff_name": "Basic",
            "list_price": {"amount": 1_000, "currency": "RUB"},
            "discount": {"amount": 0, "currency": "RUB"},
            "cost": {"amount": 1_000, "currency": "RUB"},
            "balance": {"amount": 89_000, "currency": "RUB"},
            "subscription_id": event.subscription_id,
            "subscription_starts_at": "2026-11-21T10:30:00Z",
            "subscription_ends_at": "2026-12-21T10:30:00Z",
        })
    );
    says(
        &event.letter(in_utc(Locale::Ru)),
        "«Basic» оплачен: 10,00 ₽",
        &[
            "Вы купили «Basic».",
            "Стоимость: 10,00 ₽",
            "Баланс: 890,00 ₽",
            "Подписка действует до 21 декабря 2026 г., 10:30 UTC.",
        ],
    );
}

#[test]
fn a_purchase_with_a_promocode_also_names_the_discount() {
    let event = PurchasePaidV1 {
        with_promocode: true,
        discount: roubles(1_000),
        charged: roubles(0),
        ..paid()
    };
    says(
        &event.letter(in_utc(Locale::En)),
        "“Basic” is paid: RUB 0.00",
        &[
            "You bought “Basic”.",
            "Cost: RUB 0.00",
            "Discount: RUB 10.00 off the price of RUB 10.00",
            "Balance: RUB 890.00",
            "The subscription runs until December 21, 2026, 10:30 UTC.",
        ],
    );
    assert!(
        event
            .letter(in_utc(Locale::Ru))
            .body
            .replace('\u{a0}', " ")
            .contains("Скидка: 10,00 ₽ с цены 10,00 ₽")
    );
}

#[test]
fn a_failed_purchase_names_cost_balance_and_reason_in_both_languages() {
    let event = failed();
    let letter = event.letter(in_utc(Locale::En));
    says(
        &letter,
        "Your purchase of “Pro” failed",
        &[
            "You did not buy “Pro”; nothing was charged.",
            "Cost: RUB 1,200.00",
            "Balance: RUB 890.00",
            "Reason: there is not enough money in your wallet.",
        ],
    );
    assert_eq!(letter.kind, LetterKind::PurchaseFailed);
    assert_eq!(letter.about, format!("purchase_ended:{}", event.purchase_id));
    assert_eq!(
        data(&letter),
        json!({
            "purchase_id": event.purchase_id,
            "tariff_id": event.tariff_id,
            "tariff_name": "Pro",
            "cost": {"amount": 120_000, "currency": "RUB"},
            "balance": {"amount": 89_000, "currency": "RUB"},
            "reason": "insufficient_funds",
        })
    );
    says(
        &event.letter(in_utc(Locale::Ru)),
        "Покупка «Pro» не удалась",
        &[
            "Купить «Pro» не удалось; деньги не списаны.",
            "Стоимость: 1200,00 ₽",
            "Баланс: 890,00 ₽",
            "Причина: в кошельке недостаточно денег.",
        ],
    );
}

#[test]
fn a_refused_promocode_is_explained_with_every_reason() {
    let event = PurchaseFailedV1 {
        with_promocode: true,
        reason: FailureReason::PromocodeRefused,
        refusal_reasons: vec![
            reason(RefusalCode::UsesExhausted, "All 10 uses are taken."),
            reason(RefusalCode::NotNewUser, ""),
        ],
        ..failed()
    };
    let letter = event.letter(in_utc(Locale::En));
    assert!(
        letter.body.ends_with(
            "Reason: the promocode was refused:\n– All 10 uses are taken.\n– The promocode is for new users only."
        ),
        "{}",
        letter.body
    );
    assert_eq!(
        data(&letter)["reasons"],
        json!([
            {"code": "uses_exhausted", "detail": "All 10 uses are taken.", "expected": 10, "found": 10},
            {"code": "not_new_user", "detail": "", "expected": 10, "found": 10},
        ])
    );
    let letter = event.letter(in_utc(Locale::Ru));
    assert!(
        letter.body.ends_with(
            "Причина: промокод не принят:\n– Все использования промокода исчерпаны.\n\
             – Промокод только для новых пользователей."
        ),
        "{}",
        letter.body
    );
}

#[test]
fn what_was_typed_as_a_promocode_is_not_repeated() {
    let event = PurchaseFailedV1 {
        with_promocode: true,
        reason: FailureReason::PromocodeRefused,
        refusal_reasons: vec![
            reason(RefusalCode::UnknownPromocode, "There is no such promocode."),
            reason(RefusalCode::UserBlocked, ""),
        ],
        ..failed()
    };
    assert_eq!(
        data(&event.letter(in_utc(Locale::En)))["reasons"],
        json!([
            {"code": "unknown_promocode", "detail": "There is no such promocode.", "expected": 10},
            {"code": "user_blocked", "detail": "", "expected": 10, "found": 10},
        ])
    );
}

#[test]
fn both_outcomes_of_a_purchase_are_about_the_same() {
    let paid = paid();
    let failed = PurchaseFailedV1 {
        purchase_id: paid.purchase_id,
        ..failed()
    };
    assert_eq!(
        paid.letter(in_utc(Locale::En)).about,
        failed.letter(in_utc(Locale::Ru)).about
    );
}

#[test]
fn instants_are_cut_to_microseconds() {
    let event = WalletCreditedV1 {
        by_administrator: false,
        credited_at: now() + Duration::nanoseconds(1_999),
        ..credited()
    };
    assert_eq!(
        event.letter(in_utc(Locale::En)).occurred_at,
        now() + Duration::microseconds(1)
    );
}

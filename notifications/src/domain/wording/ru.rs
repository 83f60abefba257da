//! Russian.

use shared::{
    clock::Instant,
    contracts::{
        FailureReason, PurchaseFailedV1, PurchasePaidV1, RefusalCode, WalletCreditedV1, WalletDebitedV1,
        WithdrawalFailedV1,
    },
};

use super::{plain, text};
use crate::domain::letter::Text;

pub(super) fn welcome() -> Text {
    text(
        "Добро пожаловать".to_owned(),
        &["Ваш аккаунт создан. Сюда будут приходить письма о кошельке и покупках.".to_owned()],
    )
}

pub(super) fn wallet_credited(event: &WalletCreditedV1) -> Text {
    text(
        format!("Кошелёк пополнен на {}", event.amount),
        &[
            format!("Сумма: {}", event.amount),
            format!("Баланс: {}", event.balance_after),
        ],
    )
}

pub(super) fn wallet_debited(event: &WalletDebitedV1) -> Text {
    text(
        format!("С кошелька списано {}", event.amount),
        &[
            format!("Сумма: {}", event.amount),
            format!("Баланс: {}", event.balance_after),
        ],
    )
}

pub(super) fn withdrawal_failed(event: &WithdrawalFailedV1) -> Text {
    text(
        format!("Вывод {} отклонён", event.amount),
        &[
            "Деньги с кошелька не списаны.".to_owned(),
            format!("Сумма: {}", event.amount),
            format!("Баланс: {}", event.balance),
            format!("Причина: {}.", failure(event.reason)),
        ],
    )
}

pub(super) fn purchase_paid(event: &PurchasePaidV1) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("Вы купили «{tariff}»."),
        format!("Стоимость: {}", event.charged),
    ];
    if event.discount.amount.is_positive() {
        lines.push(format!("Скидка: {} с цены {}", event.discount, event.list_price));
    }
    lines.push(format!("Баланс: {}", event.balance_after));
    lines.push(format!(
        "Подписка действует до {}.",
        instant(event.subscription_ends_at)
    ));
    text(format!("«{tariff}» оплачен: {}", event.charged), &lines)
}

pub(super) fn purchase_failed(event: &PurchaseFailedV1) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("Купить «{tariff}» не удалось; деньги не списаны."),
        format!("Стоимость: {}", event.cost),
        format!("Баланс: {}", event.balance),
    ];
    if event.refusal_reasons.is_empty() {
        lines.push(format!("Причина: {}.", failure(event.reason)));
    } else {
        lines.push(format!("Причина: {}:", failure(event.reason)));
        lines.extend(
            event
                .refusal_reasons
                .iter()
                .map(|reason| format!("– {}", refusal_code(reason.code))),
        );
    }
    text(format!("Покупка «{tariff}» не удалась"), &lines)
}

fn instant(at: Instant) -> String {
    at.format("%d.%m.%Y %H:%M UTC").to_string()
}

const fn failure(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::InsufficientFunds => "в кошельке недостаточно денег",
        FailureReason::PromocodeRefused => "промокод не принят",
        FailureReason::UserBlocked => "ваш аккаунт заблокирован",
        FailureReason::TimedOut => "промокод не удалось проверить вовремя",
        FailureReason::Cancelled => "вы отменили операцию",
    }
}

const fn refusal_code(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::UnknownPromocode => "Такого промокода нет.",
        RefusalCode::CampaignNotStarted => "Промокод ещё не действует.",
        RefusalCode::CampaignEnded => "Промокод больше не действует.",
        RefusalCode::CampaignPaused => "Акция приостановлена.",
        RefusalCode::PromocodeDisabled => "Промокод отключён.",
        RefusalCode::UsesExhausted => "Все использования промокода исчерпаны.",
        RefusalCode::BudgetExhausted => "Бюджет акции исчерпан.",
        RefusalCode::UserLimitReached => "Вы уже использовали промокод столько раз, сколько можно.",
        RefusalCode::PeriodLimitReached => {
            "Вы уже использовали промокод столько раз, сколько можно за этот период."
        }
        RefusalCode::NotGranted => "Промокод вам недоступен.",
        RefusalCode::TariffNotEligible => "Промокод не для этого тарифа.",
        RefusalCode::PriceBelowMinimum => "Цена ниже минимальной для этого промокода.",
        RefusalCode::NotFirstPurchase => "Промокод только для первой покупки.",
        RefusalCode::NotNewUser => "Промокод только для новых пользователей.",
        RefusalCode::UserBlocked => "Ваш аккаунт заблокирован.",
        RefusalCode::TooManyAttempts => "Слишком много неверных промокодов.",
    }
}

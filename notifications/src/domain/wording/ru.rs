//! Russian.

use shared::{
    clock::Instant,
    contracts::{
        FailureReason, Locale, MailRequestedV1, MovedSubscription, PromocodeGrantedV1, PurchaseFailedV1,
        PurchasePaidV1, PurchaseRefundedV1, RefusalCode, SubscriptionEndingV1, TopUpFailedV1,
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
        "Добро пожаловать".to_owned(),
        &["Ваш аккаунт создан. Сюда будут приходить письма о кошельке и покупках.".to_owned()],
    )
}

pub(super) fn wallet_credited(event: &WalletCreditedV1) -> Text {
    text(
        if event.by_administrator {
            format!("Администратор зачислил на кошелёк {}", money(event.amount))
        } else {
            format!("Кошелёк пополнен на {}", money(event.amount))
        },
        &movement(event.amount, event.balance_after, event.reason.as_deref()),
    )
}

pub(super) fn wallet_debited(event: &WalletDebitedV1) -> Text {
    text(
        if event.by_administrator {
            format!("Администратор списал с кошелька {}", money(event.amount))
        } else {
            format!("С кошелька списано {}", money(event.amount))
        },
        &movement(event.amount, event.balance_after, event.reason.as_deref()),
    )
}

fn movement(amount: Money, balance: Money, why: Option<&str>) -> Vec<String> {
    let mut lines = vec![
        format!("Сумма: {}", money(amount)),
        format!("Баланс: {}", money(balance)),
    ];
    lines.extend(why.map(reason));
    lines
}

pub(super) fn withdrawal_failed(event: &WithdrawalFailedV1) -> Text {
    text(
        format!("Вывод {} отклонён", money(event.amount)),
        &[
            "Деньги с кошелька не списаны.".to_owned(),
            format!("Сумма: {}", money(event.amount)),
            format!("Баланс: {}", money(event.balance)),
            format!("Причина: {}.", failure(event.reason)),
        ],
    )
}

pub(super) fn top_up_failed(event: &TopUpFailedV1) -> Text {
    text(
        format!("Пополнение на {} отклонено", money(event.amount)),
        &[
            "Деньги в кошелёк не поступили.".to_owned(),
            format!("Сумма: {}", money(event.amount)),
            format!("Баланс: {}", money(event.balance)),
            reason(
                event
                    .reason
                    .as_deref()
                    .unwrap_or("платёжная система её не назвала."),
            ),
        ],
    )
}

pub(super) fn purchase_paid(event: &PurchasePaidV1, zone: Zone) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("Вы купили «{tariff}»."),
        format!("Стоимость: {}", money(event.charged)),
    ];
    if event.discount.amount.is_positive() {
        lines.push(format!(
            "Скидка: {} с цены {}",
            money(event.discount),
            money(event.list_price)
        ));
    }
    lines.push(format!("Баланс: {}", money(event.balance_after)));
    lines.push(format!(
        "Подписка действует до {}.",
        instant(event.subscription_ends_at, zone)
    ));
    text(format!("«{tariff}» оплачен: {}", money(event.charged)), &lines)
}

pub(super) fn purchase_failed(event: &PurchaseFailedV1) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("Купить «{tariff}» не удалось; деньги не списаны."),
        format!("Стоимость: {}", money(event.cost)),
        format!("Баланс: {}", money(event.balance)),
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

pub(super) fn purchase_refunded(event: &PurchaseRefundedV1, zone: Zone) -> Text {
    let tariff = plain(&event.tariff_name);
    let mut lines = vec![
        format!("Покупка «{tariff}» отменена, деньги возвращены, подписка завершена."),
        format!("Возвращено: {}", money(event.refunded)),
        format!("Баланс: {}", money(event.balance_after)),
    ];
    lines.extend(moved(&event.moved, zone));
    lines.extend(event.reason.as_deref().map(reason));
    text(
        format!("Возврат за «{tariff}»: {}", money(event.refunded)),
        &lines,
    )
}

/// What follows a subscription that was given back runs at other times than before.
fn moved(moved: &[MovedSubscription], zone: Zone) -> Vec<String> {
    let mut lines = Vec::new();
    if !moved.is_empty() {
        lines.push("Подписки, купленные после неё, теперь действуют раньше:".to_owned());
    }
    lines.extend(moved.iter().take(MOST_MOVED).map(|moved| {
        format!(
            "– «{}» с {} до {}",
            plain(&moved.tariff_name),
            instant(moved.starts_at, zone),
            instant(moved.ends_at, zone)
        )
    }));
    if let Some(last) = moved.get(MOST_MOVED..).and_then(<[_]>::last) {
        let more = moved.len() - MOST_MOVED;
        let until = instant(last.ends_at, zone);
        lines.push(format!("– и другие: {more}, последняя до {until}"));
    }
    lines
}

pub(super) fn subscription_ending(event: &SubscriptionEndingV1, zone: Zone) -> Text {
    let tariff = plain(&event.tariff_name);
    text(
        format!("Подписка «{tariff}» скоро закончится"),
        &[
            format!("Она действует до {}.", instant(event.ends_at, zone)),
            "Чтобы продолжить, купите её снова.".to_owned(),
        ],
    )
}

pub(super) fn promocode_granted(event: &PromocodeGrantedV1, zone: Zone) -> Text {
    let mut lines = vec![format!("Промокод: {}", plain(&event.promocode))];
    if let Some(title) = &event.campaign_title {
        lines.push(format!("Акция: {}", plain(&title.ru)));
    }
    let Validity { from, to } = validity(event, zone, Locale::Ru);
    match (from, to) {
        (Some(from), Some(to)) => lines.push(format!("Действует с {from} по {to}.")),
        (Some(from), None) => lines.push(format!("Действует с {from}.")),
        (None, Some(to)) => lines.push(format!("Действует по {to}.")),
        (None, None) => {}
    }
    text("Вам доступен промокод".to_owned(), &lines)
}

pub(super) fn account_blocked(_: &AccountBlocked) -> Text {
    text(
        "Ваш аккаунт заблокирован".to_owned(),
        &[
            "Его заблокировал администратор. Пока блокировка не снята, покупки и всё остальное недоступны."
                .to_owned(),
        ],
    )
}

pub(super) fn account_unblocked(_: &AccountUnblocked) -> Text {
    text(
        "Ваш аккаунт разблокирован".to_owned(),
        &["Им снова можно пользоваться.".to_owned()],
    )
}

pub(super) fn password_reset(event: &MailRequestedV1, zone: Zone) -> Text {
    text(
        "Запрошен новый пароль".to_owned(),
        &[
            format!(
                "{} кто-то (скорее всего, вы) запросил смену пароля. Ссылка отправлена на вашу почту.",
                instant(event.requested_at, zone)
            ),
            "Если это были не вы, ничего не делайте: пароль останется прежним.".to_owned(),
        ],
    )
}

pub(super) fn confirm_email_mail(link: &str, expires_at: Instant, zone: Zone) -> Text {
    text(
        "Подтвердите адрес".to_owned(),
        &[
            "Откройте ссылку, чтобы подтвердить, что этот адрес ваш:".to_owned(),
            link.to_owned(),
            format!("Она действует до {}.", instant(expires_at, zone)),
            "Если вы не регистрировались, ничего не делайте.".to_owned(),
        ],
    )
}

pub(super) fn reset_password_mail(link: &str, expires_at: Instant, zone: Zone) -> Text {
    text(
        "Выберите новый пароль".to_owned(),
        &[
            "Откройте ссылку, чтобы выбрать новый пароль:".to_owned(),
            link.to_owned(),
            format!(
                "Она действует до {} и только один раз.",
                instant(expires_at, zone)
            ),
            "Если вы об этом не просили, ничего не делайте: пароль останется прежним.".to_owned(),
        ],
    )
}

fn instant(at: Instant, zone: Zone) -> String {
    format::instant(at, zone, Locale::Ru)
}

fn reason(why: &str) -> String {
    format!("Причина: {}", plain(why))
}

fn money(money: Money) -> String {
    format::money(money, Locale::Ru)
}

const fn failure(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::InsufficientFunds => "в кошельке недостаточно денег",
        FailureReason::PromocodeRefused => "промокод не принят",
        FailureReason::UserBlocked => "ваш аккаунт заблокирован",
        FailureReason::TimedOut => "промокод не удалось проверить вовремя",
        FailureReason::Cancelled => "вы отменили операцию",
        FailureReason::PriceChanged => "цена не та, которую вы ожидали",
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
        RefusalCode::NoDiscount => "Промокод не снижает эту цену.",
        RefusalCode::UsesHeld => "Все оставшиеся использования заняты другими покупками; попробуйте ещё раз.",
    }
}

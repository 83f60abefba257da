//! Events to write letters about, for tests.

use chrono::{Duration, TimeZone as _, Utc};
use iso_currency::Currency;
use serde_json::json;
use shared::{
    clock::Instant,
    contracts::{
        FailureReason, Locale, LocalizedText, MailPurpose, MailRequestedV1, PromocodeGrantedV1,
        PurchaseFailedV1, PurchasePaidV1, PurchaseRefundedV1, Reason, RefusalCode, SubscriptionEndingV1,
        TopUpFailedV1, UserRegisteredV1, UserState, UserStatus, WalletCreditedV1, WalletDebitedV1,
        WithdrawalFailedV1,
    },
    ids::{
        CampaignId, GrantId, MailRequestId, PurchaseId, SubscriptionId, TariffId, TopUpId, TransferId,
        UserId, WithdrawalId,
    },
    money::{Amount, Money},
    zone::Zone,
};

use super::letter::Reader;

pub fn now() -> Instant {
    Utc.with_ymd_and_hms(2026, 11, 21, 10, 30, 0).unwrap()
}

pub fn in_utc(locale: Locale) -> Reader {
    Reader {
        locale,
        zone: Zone::UTC,
    }
}

pub fn roubles(amount: i64) -> Money {
    Money::new(Amount(amount), Currency::RUB)
}

pub fn registered() -> UserRegisteredV1 {
    UserRegisteredV1(UserState {
        user_id: UserId::new(now()),
        version: 1,
        status: UserStatus::Active,
        locale: Locale::En,
        time_zone: None,
        registered_at: now(),
    })
}

pub fn credited() -> WalletCreditedV1 {
    WalletCreditedV1 {
        by_administrator: false,
        reason: None,
        transfer_id: TransferId::new(now()),
        user_id: UserId::new(now()),
        amount: roubles(100_000),
        balance_after: roubles(123_456),
        credited_at: now(),
    }
}

pub fn debited() -> WalletDebitedV1 {
    WalletDebitedV1 {
        by_administrator: false,
        reason: None,
        transfer_id: TransferId::new(now()),
        user_id: UserId::new(now()),
        amount: roubles(10_000),
        balance_after: roubles(90_000),
        debited_at: now(),
    }
}

pub fn refused_withdrawal() -> WithdrawalFailedV1 {
    WithdrawalFailedV1 {
        withdrawal_id: WithdrawalId::new(now()),
        user_id: UserId::new(now()),
        amount: roubles(500_000),
        balance: roubles(90_000),
        reason: FailureReason::InsufficientFunds,
        failed_at: now(),
    }
}

pub fn declined() -> TopUpFailedV1 {
    TopUpFailedV1 {
        top_up_id: TopUpId::new(now()),
        user_id: UserId::new(now()),
        amount: roubles(500_000),
        balance: roubles(90_000),
        reason: Some("The card has expired.".to_owned()),
        failed_at: now(),
    }
}

pub fn paid() -> PurchasePaidV1 {
    PurchasePaidV1 {
        purchase_id: PurchaseId::new(now()),
        version: 2,
        user_id: UserId::new(now()),
        tariff_id: TariffId::new(now()),
        tariff_name: "Basic".to_owned(),
        with_promocode: false,
        list_price: roubles(1_000),
        discount: roubles(0),
        charged: roubles(1_000),
        balance_after: roubles(89_000),
        subscription_id: SubscriptionId::new(now()),
        subscription_starts_at: now(),
        subscription_ends_at: now() + Duration::days(30),
        paid_at: now(),
    }
}

pub fn failed() -> PurchaseFailedV1 {
    PurchaseFailedV1 {
        purchase_id: PurchaseId::new(now()),
        version: 2,
        user_id: UserId::new(now()),
        tariff_id: TariffId::new(now()),
        tariff_name: "Pro".to_owned(),
        with_promocode: false,
        cost: roubles(120_000),
        balance: roubles(89_000),
        reason: FailureReason::InsufficientFunds,
        refusal_reasons: Vec::new(),
        failed_at: now(),
    }
}

pub fn refunded() -> PurchaseRefundedV1 {
    PurchaseRefundedV1 {
        purchase_id: PurchaseId::new(now()),
        version: 3,
        user_id: UserId::new(now()),
        tariff_id: TariffId::new(now()),
        tariff_name: "Basic".to_owned(),
        with_promocode: false,
        refunded: roubles(89_000),
        balance_after: roubles(1_234_500),
        subscription_id: SubscriptionId::new(now()),
        moved: Vec::new(),
        reason: Some("asked for by telephone".to_owned()),
        refunded_at: now(),
    }
}

pub fn granted() -> PromocodeGrantedV1 {
    PromocodeGrantedV1 {
        grant_id: GrantId::new(now()),
        user_id: UserId::new(now()),
        campaign_id: CampaignId::new(now()),
        campaign_name: "Autumn 2026, agency X, cold leads".to_owned(),
        campaign_title: Some(LocalizedText {
            en: "Falling prices".to_owned(),
            ru: "Цены падают".to_owned(),
        }),
        promocode: "LEAF-15".to_owned(),
        starts_at: None,
        ends_at: Some(now() + Duration::days(30)),
        timezone: None,
        granted_at: now(),
    }
}

pub fn ending() -> SubscriptionEndingV1 {
    SubscriptionEndingV1 {
        subscription_id: SubscriptionId::new(now()),
        user_id: UserId::new(now()),
        tariff_id: TariffId::new(now()),
        tariff_name: "Basic".to_owned(),
        ends_at: now() + Duration::days(30),
    }
}

pub fn reset_requested() -> MailRequestedV1 {
    MailRequestedV1 {
        mail_request_id: MailRequestId::new(now()),
        user_id: UserId::new(now()),
        purpose: MailPurpose::ResetPassword,
        locale: Locale::En,
        requested_at: now(),
        expires_at: now() + Duration::hours(1),
    }
}

pub fn reason(code: RefusalCode, detail: &str) -> Reason {
    Reason {
        code,
        detail: detail.to_owned(),
        expected: Some(json!(10)),
        found: Some(json!(10)),
    }
}

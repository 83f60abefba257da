//! What auth and billing say.

use chrono::Duration;
use iso_currency::Currency;
use shared::{
    clock::Instant,
    contracts::{
        FailureReason, Locale, MailPurpose, MailRequestedV1, PromocodeGrantedV1, PurchaseFailedV1,
        PurchasePaidV1, PurchaseRefundedV1, Reason, RefusalCode, SubscriptionEndingV1, TopUpFailedV1,
        UserBlockedV1, UserRegisteredV1, UserState, UserStatus, UserUnblockedV1, WalletCreditedV1,
        WalletDebitedV1, WithdrawalFailedV1,
    },
    ids::{
        CampaignId, GrantId, MailRequestId, PurchaseId, SubscriptionId, TariffId, TopUpId, TransferId,
        UserId, WithdrawalId,
    },
    money::{Amount, Money},
};

pub fn roubles(amount: i64) -> Money {
    Money::new(Amount(amount), Currency::RUB)
}

pub fn state(user_id: UserId, version: i64, status: UserStatus, locale: Locale, at: Instant) -> UserState {
    UserState {
        user_id,
        version,
        status,
        locale,
        time_zone: None,
        registered_at: at,
    }
}

pub fn registered(user_id: UserId, locale: Locale, at: Instant) -> UserRegisteredV1 {
    UserRegisteredV1(state(user_id, 1, UserStatus::Active, locale, at))
}

pub fn credited(user_id: UserId, amount: i64, balance: i64, at: Instant) -> WalletCreditedV1 {
    WalletCreditedV1 {
        by_administrator: false,
        reason: None,
        transfer_id: TransferId::new(at),
        user_id,
        amount: roubles(amount),
        balance_after: roubles(balance),
        credited_at: at,
    }
}

pub fn debited(user_id: UserId, amount: i64, balance: i64, at: Instant) -> WalletDebitedV1 {
    WalletDebitedV1 {
        by_administrator: false,
        reason: None,
        transfer_id: TransferId::new(at),
        user_id,
        amount: roubles(amount),
        balance_after: roubles(balance),
        debited_at: at,
    }
}

pub fn withdrawal_failed(user_id: UserId, amount: i64, balance: i64, at: Instant) -> WithdrawalFailedV1 {
    WithdrawalFailedV1 {
        withdrawal_id: WithdrawalId::new(at),
        user_id,
        amount: roubles(amount),
        balance: roubles(balance),
        reason: FailureReason::InsufficientFunds,
        failed_at: at,
    }
}

pub fn top_up_failed(user_id: UserId, amount: i64, balance: i64, at: Instant) -> TopUpFailedV1 {
    TopUpFailedV1 {
        top_up_id: TopUpId::new(at),
        user_id,
        amount: roubles(amount),
        balance: roubles(balance),
        reason: Some("The card has expired.".to_owned()),
        failed_at: at,
    }
}

pub fn paid(user_id: UserId, cost: i64, balance: i64, at: Instant) -> PurchasePaidV1 {
    PurchasePaidV1 {
        purchase_id: PurchaseId::new(at),
        version: 2,
        user_id,
        tariff_id: TariffId::new(at),
        tariff_name: "Basic".to_owned(),
        with_promocode: false,
        list_price: roubles(cost),
        discount: roubles(0),
        charged: roubles(cost),
        balance_after: roubles(balance),
        subscription_id: SubscriptionId::new(at),
        subscription_starts_at: at,
        subscription_ends_at: at + Duration::days(30),
        paid_at: at,
    }
}

pub fn failed(user_id: UserId, cost: i64, balance: i64, at: Instant) -> PurchaseFailedV1 {
    PurchaseFailedV1 {
        purchase_id: PurchaseId::new(at),
        version: 2,
        user_id,
        tariff_id: TariffId::new(at),
        tariff_name: "Pro".to_owned(),
        with_promocode: false,
        cost: roubles(cost),
        balance: roubles(balance),
        reason: FailureReason::InsufficientFunds,
        refusal_reasons: Vec::new(),
        failed_at: at,
    }
}

pub fn refused(user_id: UserId, cost: i64, balance: i64, at: Instant) -> PurchaseFailedV1 {
    PurchaseFailedV1 {
        with_promocode: true,
        reason: FailureReason::PromocodeRefused,
        refusal_reasons: vec![Reason {
            code: RefusalCode::UsesExhausted,
            detail: "All 10 uses are taken.".to_owned(),
            expected: None,
            found: None,
        }],
        ..failed(user_id, cost, balance, at)
    }
}

pub fn blocked(user_id: UserId, version: i64, at: Instant) -> UserBlockedV1 {
    UserBlockedV1(state(user_id, version, UserStatus::Blocked, Locale::En, at))
}

pub fn unblocked(user_id: UserId, version: i64, at: Instant) -> UserUnblockedV1 {
    UserUnblockedV1(state(user_id, version, UserStatus::Active, Locale::En, at))
}

pub fn refunded(user_id: UserId, amount: i64, balance: i64, at: Instant) -> PurchaseRefundedV1 {
    PurchaseRefundedV1 {
        purchase_id: PurchaseId::new(at),
        version: 3,
        user_id,
        tariff_id: TariffId::new(at),
        tariff_name: "Basic".to_owned(),
        with_promocode: false,
        refunded: roubles(amount),
        balance_after: roubles(balance),
        subscription_id: SubscriptionId::new(at),
        moved: Vec::new(),
        reason: Some("asked for by telephone".to_owned()),
        refunded_at: at,
    }
}

pub fn granted(user_id: UserId, at: Instant) -> PromocodeGrantedV1 {
    PromocodeGrantedV1 {
        grant_id: GrantId::new(at),
        user_id,
        campaign_id: CampaignId::new(at),
        campaign_name: "Autumn 2026, agency X, cold leads".to_owned(),
        campaign_title: None,
        promocode: "LEAF-15".to_owned(),
        starts_at: None,
        ends_at: None,
        timezone: None,
        granted_at: at,
    }
}

pub fn ending(user_id: UserId, at: Instant) -> SubscriptionEndingV1 {
    SubscriptionEndingV1 {
        subscription_id: SubscriptionId::new(at),
        user_id,
        tariff_id: TariffId::new(at),
        tariff_name: "Basic".to_owned(),
        ends_at: at + Duration::days(3),
    }
}

pub fn mail_requested(user_id: UserId, purpose: MailPurpose, at: Instant) -> MailRequestedV1 {
    MailRequestedV1 {
        mail_request_id: MailRequestId::new(at),
        user_id,
        purpose,
        locale: Locale::En,
        requested_at: at,
        expires_at: at + Duration::hours(1),
    }
}

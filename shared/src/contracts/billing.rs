//! What billing says: purchases, the wallet, tariffs.

use chrono::{DateTime, Utc};
use sea_orm::{DeriveActiveEnum, EnumIter, sea_query::StringLen};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Reason, envelope::message};
use crate::{
    ids::{PurchaseId, SubscriptionId, TariffId, TopUpId, TransferId, UserId, WithdrawalId},
    money::Money,
};

/// Why a purchase failed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The wallet holds less than the price.
    #[sea_orm(string_value = "insufficient_funds")]
    InsufficientFunds,
    /// Loyalty refused the promocode; the reasons say why.
    #[sea_orm(string_value = "promocode_refused")]
    PromocodeRefused,
    /// The user is blocked or deleted.
    #[sea_orm(string_value = "user_blocked")]
    UserBlocked,
    /// No answer about the promocode within the deadline.
    #[sea_orm(string_value = "timed_out")]
    TimedOut,
    /// The user cancelled it.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// The price is not the one that the buyer expects.
    #[sea_orm(string_value = "price_changed")]
    PriceChanged,
}

/// Whether a tariff is sold.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
#[serde(rename_all = "snake_case")]
pub enum TariffStatus {
    /// Sold.
    #[sea_orm(string_value = "active")]
    Active,
    /// Sold no longer; what was sold goes on.
    #[sea_orm(string_value = "archived")]
    Archived,
}

/// A purchase was charged and its subscription runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchasePaidV1 {
    /// Which purchase.
    pub purchase_id: PurchaseId,
    /// The purchase's version; the highest wins.
    pub version: i64,
    /// Who bought.
    pub user_id: UserId,
    /// What.
    pub tariff_id: TariffId,
    /// Its name when it was bought.
    pub tariff_name: String,
    /// Whether a promocode was used, so that a redemption follows this.
    pub with_promocode: bool,
    /// The price before the discount.
    pub list_price: Money,
    /// What the promocode took off.
    pub discount: Money,
    /// What was charged: `list_price - discount`.
    pub charged: Money,
    /// What the wallet holds after it.
    pub balance_after: Money,
    /// What was bought.
    pub subscription_id: SubscriptionId,
    /// From when.
    pub subscription_starts_at: DateTime<Utc>,
    /// To when.
    pub subscription_ends_at: DateTime<Utc>,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
}
message!(
    PurchasePaidV1,
    "kopeck.billing.purchase_paid.v1",
    BillingEvents,
    "purchase.paid",
    |m| m.purchase_id.0,
    m.version
);

/// A purchase ended without a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseFailedV1 {
    /// Which purchase.
    pub purchase_id: PurchaseId,
    /// The purchase's version; the highest wins.
    pub version: i64,
    /// Who wanted to buy.
    pub user_id: UserId,
    /// What.
    pub tariff_id: TariffId,
    /// Its name.
    pub tariff_name: String,
    /// Whether a promocode was to be used, so that its use goes back.
    pub with_promocode: bool,
    /// What would have been charged, as far as it was known.
    pub cost: Money,
    /// What the wallet holds.
    pub balance: Money,
    /// Why it failed.
    pub reason: FailureReason,
    /// The customer's copy of why the promocode was refused; empty for other reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusal_reasons: Vec<Reason>,
    /// When it failed.
    pub failed_at: DateTime<Utc>,
}
message!(
    PurchaseFailedV1,
    "kopeck.billing.purchase_failed.v1",
    BillingEvents,
    "purchase.failed",
    |m| m.purchase_id.0,
    m.version
);

/// Money came into a wallet (not by a refund, which says so itself).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WalletCreditedV1 {
    /// The movement.
    pub transfer_id: TransferId,
    /// Whose wallet.
    pub user_id: UserId,
    /// How much.
    pub amount: Money,
    /// What the wallet holds after it.
    pub balance_after: Money,
    /// Whether an administrator did it, and not the wallet's owner.
    #[serde(default)]
    pub by_administrator: bool,
    /// Why, in the administrator's words; absent where its owner did it, or before reasons were said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When.
    pub credited_at: DateTime<Utc>,
}
message!(
    WalletCreditedV1,
    "kopeck.billing.wallet_credited.v1",
    BillingEvents,
    "wallet.credited",
    |m| m.transfer_id.0,
    0
);

/// Money left a wallet (not for a purchase, which says so itself).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WalletDebitedV1 {
    /// The movement.
    pub transfer_id: TransferId,
    /// Whose wallet.
    pub user_id: UserId,
    /// How much.
    pub amount: Money,
    /// What the wallet holds after it.
    pub balance_after: Money,
    /// Whether an administrator did it, and not the wallet's owner.
    #[serde(default)]
    pub by_administrator: bool,
    /// Why, in the administrator's words; absent where its owner did it, or before reasons were said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When.
    pub debited_at: DateTime<Utc>,
}
message!(
    WalletDebitedV1,
    "kopeck.billing.wallet_debited.v1",
    BillingEvents,
    "wallet.debited",
    |m| m.transfer_id.0,
    0
);

/// A withdrawal was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithdrawalFailedV1 {
    /// The request.
    pub withdrawal_id: WithdrawalId,
    /// Whose wallet.
    pub user_id: UserId,
    /// How much was asked for.
    pub amount: Money,
    /// What the wallet holds.
    pub balance: Money,
    /// Why.
    pub reason: FailureReason,
    /// When.
    pub failed_at: DateTime<Utc>,
}
message!(
    WithdrawalFailedV1,
    "kopeck.billing.withdrawal_failed.v1",
    BillingEvents,
    "withdrawal.failed",
    |m| m.withdrawal_id.0,
    0
);

/// The payment provider refused a top-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopUpFailedV1 {
    /// The request.
    pub top_up_id: TopUpId,
    /// Whose wallet.
    pub user_id: UserId,
    /// How much was asked for.
    pub amount: Money,
    /// What the wallet holds.
    pub balance: Money,
    /// Why, as the provider puts it for the customer; absent if it gave no reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When.
    pub failed_at: DateTime<Utc>,
}
message!(
    TopUpFailedV1,
    "kopeck.billing.top_up_failed.v1",
    BillingEvents,
    "top_up.failed",
    |m| m.top_up_id.0,
    0
);

/// A tariff as the other services know it. Take it only if `version` is newer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TariffChangedV1 {
    /// Which tariff.
    pub tariff_id: TariffId,
    /// Grows by one with every change.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: Money,
    /// ISO 8601: `P1M`.
    pub period: String,
    /// Whether it is sold.
    pub status: TariffStatus,
}
message!(
    TariffChangedV1,
    "kopeck.billing.tariff_changed.v1",
    BillingEvents,
    "tariff.changed",
    |m| m.tariff_id.0,
    m.version
);

/// Asks billing to say the outcome of a purchase again, under a new message id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportPurchaseV1 {
    /// Which purchase.
    pub purchase_id: PurchaseId,
}
message!(
    ReportPurchaseV1,
    "kopeck.billing.report_purchase.v1",
    BillingCommands,
    "purchase.report",
    |m| m.purchase_id.0,
    0
);

/// A paid purchase was given back: the money returned to the wallet, the subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchaseRefundedV1 {
    /// Which purchase.
    pub purchase_id: PurchaseId,
    /// The purchase's version; the highest wins.
    pub version: i64,
    /// Who bought.
    pub user_id: UserId,
    /// What.
    pub tariff_id: TariffId,
    /// Its name when it was bought.
    pub tariff_name: String,
    /// Whether a promocode was used, so that the campaign says what becomes of its use.
    pub with_promocode: bool,
    /// What was charged and is given back.
    pub refunded: Money,
    /// What the wallet holds after it.
    pub balance_after: Money,
    /// The subscription that ended.
    pub subscription_id: SubscriptionId,
    /// The subscriptions that followed it and have moved up, by their start; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<MovedSubscription>,
    /// Why, in the administrator's words; absent where it was refunded before reasons were said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When.
    pub refunded_at: DateTime<Utc>,
}

/// A subscription that starts and ends at another time than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedSubscription {
    /// Which.
    pub subscription_id: SubscriptionId,
    /// The name of its tariff when it was bought.
    pub tariff_name: String,
    /// From when it runs now.
    pub starts_at: DateTime<Utc>,
    /// To when.
    pub ends_at: DateTime<Utc>,
}
message!(
    PurchaseRefundedV1,
    "kopeck.billing.purchase_refunded.v1",
    BillingEvents,
    "purchase.refunded",
    |m| m.purchase_id.0,
    m.version
);

/// A subscription ends soon, and nothing that follows it was bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionEndingV1 {
    /// Which.
    pub subscription_id: SubscriptionId,
    /// Whose.
    pub user_id: UserId,
    /// To what.
    pub tariff_id: TariffId,
    /// Its name when it was bought.
    pub tariff_name: String,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
}
message!(
    SubscriptionEndingV1,
    "kopeck.billing.subscription_ending.v1",
    BillingEvents,
    "subscription.ending",
    |m| m.subscription_id.0,
    0
);

//! What loyalty is asked and what it answers.

use chrono::{DateTime, Utc};
use sea_orm::{DeriveActiveEnum, EnumIter, sea_query::StringLen};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{auth::Locale, envelope::message};
use crate::{
    ids::{CampaignId, GrantId, PromocodeId, PurchaseId, TariffId, UserId},
    money::Money,
};

/// Why a promocode was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such promocode (or, to a customer, none that they may know of).
    UnknownPromocode,
    /// The campaign starts later.
    CampaignNotStarted,
    /// The campaign is over.
    CampaignEnded,
    /// The campaign is paused.
    CampaignPaused,
    /// This promocode was switched off.
    PromocodeDisabled,
    /// Every use of the promocode or the campaign is taken.
    UsesExhausted,
    /// The campaign's money is spent.
    BudgetExhausted,
    /// The user has had as many uses as one user may have.
    UserLimitReached,
    /// The user has had as many uses as one user may have in the period.
    PeriodLimitReached,
    /// The promocode was not made available to this user.
    NotGranted,
    /// The promocode is not for this tariff.
    TariffNotEligible,
    /// The price is below the campaign's minimum.
    PriceBelowMinimum,
    /// Only for a first purchase.
    NotFirstPurchase,
    /// Only for users who registered recently.
    NotNewUser,
    /// The user is blocked.
    UserBlocked,
    /// Too many wrong codes were tried.
    TooManyAttempts,
    /// The promocode takes nothing off this price.
    NoDiscount,
    /// Every use that is left is held for other purchases at the moment: some may come back.
    UsesHeld,
}

/// Why no use is held for a purchase although its promocode is good.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
#[serde(rename_all = "snake_case")]
pub enum NotHeldReason {
    /// The price is above what the wallet held when the purchase was made.
    #[sea_orm(string_value = "insufficient_funds")]
    InsufficientFunds,
    /// The price is not the one that the buyer expects.
    #[sea_orm(string_value = "price_changed")]
    PriceChanged,
}

/// One condition that failed, with what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// Which condition.
    pub code: RefusalCode,
    /// The same for people, in English.
    pub detail: String,
    /// What the condition asks for; absent where the reader may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<serde_json::Value>,
    /// What was there instead; absent where the reader may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<serde_json::Value>,
}

impl Reason {
    /// Without what was typed where there is no such promocode: that may be anything, also
    /// something that tells of a person.
    #[must_use]
    pub fn without_what_was_typed(mut self) -> Self {
        if self.code == RefusalCode::UnknownPromocode {
            self.found = None;
        }
        self
    }
}

/// Asks loyalty to check every rule and hold one use of a promocode for a purchase.
///
/// Carries the tariff as it was bought, so that loyalty prices what billing sells and needs
/// no replica of its own that might lag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldPromocodeV1 {
    /// The purchase that wants the promocode; loyalty decides once for each.
    pub purchase_id: PurchaseId,
    /// Who buys.
    pub user_id: UserId,
    /// When they registered; absent if billing has not heard of them yet, which is no refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user_registered_at: Option<DateTime<Utc>>,
    /// Whether they have paid for anything before, as billing knows best.
    #[serde(default)]
    pub has_purchased: bool,
    /// As the customer typed it.
    pub promocode: String,
    /// What is bought.
    pub tariff_id: TariffId,
    /// In which version.
    pub tariff_version: i64,
    /// At which price before the discount.
    pub price: Money,
    /// The moment that start and end are judged at.
    pub requested_at: DateTime<Utc>,
    /// When billing gives up waiting.
    pub deadline: DateTime<Utc>,
    /// Which of 2^20 buckets the buyer's network address falls into: guesses are counted by it, and it
    /// is too little to say which address it is. Absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_bucket: Option<u32>,
    /// What the buyer's wallet holds; no use is held for a price above it. Absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub balance: Option<Money>,
    /// What the buyer expects to be charged; no use is held for another price. Absent if any price will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected_price: Option<Money>,
}
message!(
    HoldPromocodeV1,
    "kopeck.loyalty.hold_promocode.v1",
    LoyaltyCommands,
    "promocode.hold",
    |m| m.purchase_id.0,
    0
);

/// One use is held for the purchase, at this price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromocodeHeldV1 {
    /// For which purchase.
    pub purchase_id: PurchaseId,
    /// Who buys.
    pub user_id: UserId,
    /// The promocode that is held.
    pub promocode_id: PromocodeId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The version of the terms that priced it.
    pub campaign_version: i64,
    /// The price before the discount.
    pub list_price: Money,
    /// What is taken off; `list_price - discount = final_price`.
    pub discount: Money,
    /// What is to be charged.
    pub final_price: Money,
    /// Whether the promocode is for a first purchase only, so that billing looks again when it
    /// charges: of two purchases at once, one is the first.
    #[serde(default)]
    pub first_purchase_only: bool,
}
message!(
    PromocodeHeldV1,
    "kopeck.loyalty.promocode_held.v1",
    LoyaltyEvents,
    "promocode.held",
    |m| m.purchase_id.0,
    0
);

/// The promocode is good, and no use is held, since the purchase would fail at this price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromocodeNotHeldV1 {
    /// For which purchase.
    pub purchase_id: PurchaseId,
    /// Who wanted to buy.
    pub user_id: UserId,
    /// The price before the discount.
    pub list_price: Money,
    /// What would be taken off; `list_price - discount = final_price`.
    pub discount: Money,
    /// What would be charged.
    pub final_price: Money,
    /// Why it would fail.
    pub reason: NotHeldReason,
}
message!(
    PromocodeNotHeldV1,
    "kopeck.loyalty.promocode_not_held.v1",
    LoyaltyEvents,
    "promocode.not_held",
    |m| m.purchase_id.0,
    0
);

/// A campaign is there, in this version of its terms. Whoever remembers an older one forgets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CampaignChangedV1 {
    /// Which one.
    pub campaign_id: CampaignId,
    /// Grows by one with every change of it.
    pub version: i64,
}
message!(
    CampaignChangedV1,
    "kopeck.loyalty.campaign_changed.v1",
    LoyaltyEvents,
    "campaign.changed",
    |m| m.campaign_id.0,
    m.version
);

/// No use is held, and why: the customer's (masked) copy of the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromocodeRefusedV1 {
    /// For which purchase.
    pub purchase_id: PurchaseId,
    /// Who wanted to buy.
    pub user_id: UserId,
    /// All conditions that failed; never empty.
    pub reasons: Vec<Reason>,
}
message!(
    PromocodeRefusedV1,
    "kopeck.loyalty.promocode_refused.v1",
    LoyaltyEvents,
    "promocode.refused",
    |m| m.purchase_id.0,
    0
);

/// A text for customers, in every language of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LocalizedText {
    /// English.
    pub en: String,
    /// Russian.
    pub ru: String,
}

impl LocalizedText {
    /// The text in this language.
    #[must_use]
    pub fn in_language(&self, locale: Locale) -> &str {
        match locale {
            Locale::En => &self.en,
            Locale::Ru => &self.ru,
        }
    }
}

/// A promocode was made available to a user by an administrator, or to a group they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromocodeGrantedV1 {
    /// The grant; one to a group makes one event for each of its users.
    pub grant_id: GrantId,
    /// To whom.
    pub user_id: UserId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// For consumers of earlier programs, which show it: the campaign's title in English, or the
    /// promocode where it has none. Earlier programs published the name that administrators gave the
    /// campaign; do not show it.
    pub campaign_name: String,
    /// What customers call the campaign; absent if it has no public title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub campaign_title: Option<LocalizedText>,
    /// What to type.
    pub promocode: String,
    /// From when it can be used; absent if there is no such instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub starts_at: Option<DateTime<Utc>>,
    /// The first instant at which it can't be used any more; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ends_at: Option<DateTime<Utc>>,
    /// The campaign's zone (IANA), in which start and end are to be shown; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub timezone: Option<String>,
    /// When.
    pub granted_at: DateTime<Utc>,
}
message!(
    PromocodeGrantedV1,
    "kopeck.loyalty.promocode_granted.v1",
    LoyaltyEvents,
    "promocode.granted",
    |m| m.user_id.0,
    0
);

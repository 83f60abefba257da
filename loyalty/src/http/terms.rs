//! A campaign's terms on the wire.

use serde::{Deserialize, Serialize};
use shared::{
    contracts::LocalizedText,
    http::{Object, present},
    ids::{GroupId, TariffId, UserId},
    money::Money,
};
use utoipa::ToSchema;

use super::{
    fields::{Written, not_empty, or_null},
    promocodes::NewPromocodeBody,
};
use crate::domain::{
    campaign::{NewCampaign, RefundPolicy},
    campaign_change::CampaignChange,
    discount::Discount,
    eligibility::{Eligibility, NewUsers},
    local_time::Moment,
    period::Period,
    promocode::NewPromocode,
};

/// A campaign that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCampaign)]
pub(super) struct NewCampaignBody {
    /// For administrators; customers never see it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What customers call it, in letters and in what they may use; without it they see no name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<TitleBody>, nullable = false)]
    title: Option<Object<TitleBody>>,
    #[schema(value_type = DiscountSchema)]
    discount: Object<Discount>,
    /// From when; since ever if absent. An instant, or a date or a time on the clocks of `timezone`. Of a
    /// time that comes twice the first is meant; for one that is left out, the moment of the jump.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 10, max_length = 64, example = "2026-12-01")]
    starts_at: Option<Written>,
    /// Until when, a date included; open-ended if absent. Of a time that comes twice the second is meant.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 10, max_length = 64, example = "2026-12-31")]
    ends_at: Option<Written>,
    /// IANA; UTC if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 64, example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Uses of all its promocodes together; unlimited if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_redemptions: Option<i64>,
    /// Uses that one user may have of all its promocodes together; unlimited if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_per_user: Option<i64>,
    /// For whom and for what it is; for everybody and everything if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<EligibilityBody>, nullable = false)]
    eligibility: Option<Object<EligibilityBody>>,
    /// Only for those to whom one of its promocodes is granted; excludes `users` and `groups`.
    #[serde(default)]
    requires_grant: bool,
    /// Whether it is shown to those it is for.
    #[serde(default)]
    listed: bool,
    /// `return_use` if absent.
    #[serde(default)]
    #[schema(value_type = RefundPolicySchema)]
    refund_policy: RefundPolicy,
    /// Its first promocode.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<NewPromocodeBody>, nullable = false)]
    promocode: Option<Object<NewPromocodeBody>>,
}

impl NewCampaignBody {
    /// The campaign, and its first promocode if one is wanted.
    pub(super) fn into_parts(self) -> (NewCampaign, Option<NewPromocode>) {
        let campaign = NewCampaign {
            name: self.name,
            title: self.title.map(|Object(title)| title.into()),
            discount: self.discount.0,
            starts_at: self.starts_at.map(Moment::from),
            ends_at: self.ends_at.map(Moment::from),
            timezone: self.timezone,
            max_redemptions: self.max_redemptions,
            max_per_user: self.max_per_user,
            eligibility: self.eligibility.unwrap_or_default().0.into(),
            requires_grant: self.requires_grant,
            listed: self.listed,
            refund_policy: self.refund_policy,
        };
        (campaign, self.promocode.map(|Object(promocode)| promocode.into()))
    }
}

/// What customers call a campaign, in every language of the platform.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignTitle)]
pub(super) struct TitleBody {
    /// In English.
    #[schema(min_length = 1, max_length = 200, example = "Winter sale")]
    en: String,
    /// In Russian.
    #[schema(min_length = 1, max_length = 200, example = "Зимняя распродажа")]
    ru: String,
}

impl From<TitleBody> for LocalizedText {
    fn from(TitleBody { en, ru }: TitleBody) -> Self {
        Self { en, ru }
    }
}

impl From<LocalizedText> for TitleBody {
    fn from(LocalizedText { en, ru }: LocalizedText) -> Self {
        Self { en, ru }
    }
}

/// What is to be other than it is; what is left out stays. Null takes away what may be absent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignChange)]
pub(super) struct CampaignChangeBody {
    /// The version that this change was made for; if it is not that any more, 409.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    version: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// As a whole.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<TitleBody>)]
    title: Option<Option<Object<TitleBody>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<DiscountSchema>, nullable = false)]
    discount: Option<Object<Discount>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 10, max_length = 64, example = "2026-12-01")]
    starts_at: Option<Option<Written>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, min_length = 10, max_length = 64, example = "2026-12-31")]
    ends_at: Option<Option<Written>>,
    /// A start and an end that are not changed with it stay the instants that they are.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 64, example = "Europe/Berlin")]
    timezone: Option<Option<String>>,
    /// What is taken already counts; below it nothing more is admitted.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_redemptions: Option<Option<i64>>,
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    max_per_user: Option<Option<i64>>,
    /// As a whole.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<EligibilityBody>)]
    eligibility: Option<Option<Object<EligibilityBody>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    requires_grant: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    listed: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<RefundPolicySchema>, nullable = false)]
    refund_policy: Option<RefundPolicy>,
}

impl CampaignChangeBody {
    /// The version that it was made for, and the change.
    pub(super) fn into_parts(self) -> (Option<i64>, CampaignChange) {
        let eligibility = |body: Option<Object<EligibilityBody>>| body.unwrap_or_default().0.into();
        let change = CampaignChange {
            name: self.name,
            title: self.title.map(|title| title.map(|Object(title)| title.into())),
            discount: self.discount.map(|Object(discount)| discount),
            starts_at: self.starts_at.map(|written| written.map(Moment::from)),
            ends_at: self.ends_at.map(|written| written.map(Moment::from)),
            timezone: self.timezone,
            max_redemptions: self.max_redemptions,
            max_per_user: self.max_per_user,
            eligibility: self.eligibility.map(eligibility),
            requires_grant: self.requires_grant,
            listed: self.listed,
            refund_policy: self.refund_policy,
        };
        (self.version, change)
    }
}

/// What a campaign asks of a purchase and of who makes it. All that is said must be met; what is
/// left out is no condition.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Eligibility)]
pub(super) struct EligibilityBody {
    /// For these users, and those of `groups`; and for whom a promocode is granted to. Each must be there
    /// when it is named.
    #[serde(
        default,
        deserialize_with = "not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schema(min_items = 1, max_items = 1_000)]
    users: Vec<UserId>,
    /// For whoever is in one of these groups when they ask, and `users`; and for whom a promocode is
    /// granted to. Each must be there when it is named.
    #[serde(
        default,
        deserialize_with = "not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schema(min_items = 1, max_items = 1_000)]
    groups: Vec<GroupId>,
    /// For these tariffs only. Each must be there when it is named.
    #[serde(
        default,
        deserialize_with = "not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schema(min_items = 1, max_items = 1_000)]
    tariffs: Vec<TariffId>,
    /// For whoever has never paid for anything. A purchase that was refunded counts as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    first_purchase: bool,
    /// For whoever registered recently.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<NewUsersBody>, nullable = false)]
    new_users: Option<Object<NewUsersBody>>,
    /// For what costs at least this much before the discount.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    min_price: Option<Money>,
}

/// Who is new.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUsers)]
pub(super) struct NewUsersBody {
    /// Registered no longer ago than this when they ask: 1 to 1,000 days, weeks, months or years in ISO 8601.
    #[schema(value_type = String, pattern = "^P([1-9][0-9]{0,2}|1000)[DWMY]$", example = "P30D")]
    registered_within: Period,
}

impl From<EligibilityBody> for Eligibility {
    fn from(body: EligibilityBody) -> Self {
        Self {
            users: body.users.into_iter().collect(),
            groups: body.groups.into_iter().collect(),
            tariffs: body.tariffs.into_iter().collect(),
            first_purchase: body.first_purchase,
            new_users: body.new_users.map(|Object(new_users)| NewUsers {
                registered_within: new_users.registered_within,
            }),
            min_price: body.min_price,
        }
    }
}

impl From<Eligibility> for EligibilityBody {
    fn from(eligibility: Eligibility) -> Self {
        Self {
            users: eligibility.users.into_iter().collect(),
            groups: eligibility.groups.into_iter().collect(),
            tariffs: eligibility.tariffs.into_iter().collect(),
            first_purchase: eligibility.first_purchase,
            new_users: eligibility.new_users.map(|new_users| {
                Object(NewUsersBody {
                    registered_within: new_users.registered_within,
                })
            }),
            min_price: eligibility.min_price,
        }
    }
}

/// What a campaign takes off, as [`Discount`] is written.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Discount, example = json!({"type": "percent", "percent": "12.5"}))]
#[allow(dead_code)] // describes only
pub(super) enum DiscountSchema {
    /// A share of the price.
    Percent {
        /// Above 0 and at most 100, with at most two decimals.
        #[schema(pattern = r"^[0-9]{1,3}(\.[0-9]{1,2})?$")]
        percent: String,
    },
    /// The same amount off any price.
    AmountOff {
        /// How much; above zero, and at most 10^15 minor units.
        amount: Money,
    },
    /// Buy for N, whatever the price.
    FixedPrice {
        /// N; above zero, and at most 10^15 minor units.
        price: Money,
    },
    /// Nothing is left to pay.
    Free {},
}

/// Where a campaign stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CampaignStatus)]
#[allow(dead_code)] // describes only
pub(super) enum CampaignStatusSchema {
    /// Its promocodes are taken, between start and end.
    Active,
    /// They are refused until it is resumed.
    Paused,
    /// It is over for good.
    Archived,
}

/// What becomes of a use when its purchase is refunded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RefundPolicy)]
#[allow(dead_code)] // describes only
pub(super) enum RefundPolicySchema {
    /// It goes back to the promocode, and anybody may have it.
    ReturnUse,
    /// It stays taken.
    KeepUse,
}

/// Where a redemption stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RedemptionStatus)]
#[allow(dead_code)] // describes only
pub(super) enum RedemptionStatusSchema {
    /// One use is taken; the purchase is not over.
    Held,
    /// The purchase was paid; the use stays taken.
    Confirmed,
    /// The purchase failed; the use was given back, or never taken.
    Cancelled,
    /// The purchase was refunded and the use given back.
    Returned,
    /// The promocode was refused; no use was taken.
    Refused,
}

//! A campaign's terms on the wire.

use serde::{Deserialize, Serialize};
use shared::{
    http::present,
    ids::{GroupId, TariffId, UserId},
    money::Money,
};
use utoipa::ToSchema;

use super::fields::{Object, not_empty};
use crate::domain::{
    eligibility::{Eligibility, NewUsers},
    period::Period,
};

/// What a campaign asks of a purchase and of who makes it. All that is said must be met; what is
/// left out is no condition.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Eligibility)]
pub(super) struct EligibilityBody {
    /// For these users, and those of `groups`; and for whom a promocode is granted to.
    #[serde(
        default,
        deserialize_with = "not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schema(min_items = 1, max_items = 1_000)]
    users: Vec<UserId>,
    /// For whoever is in one of these groups when they ask, and `users`; and for whom a promocode is
    /// granted to.
    #[serde(
        default,
        deserialize_with = "not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schema(min_items = 1, max_items = 1_000)]
    groups: Vec<GroupId>,
    /// For these tariffs only.
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
    /// Registered no longer ago than this when they ask; ISO 8601.
    #[schema(value_type = String, pattern = "^P[1-9][0-9]{0,3}[DWMY]$", example = "P30D")]
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

/// What a campaign takes off, as [`Discount`](crate::domain::discount::Discount) is written.
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

//! The decision: may this user have this promocode for this purchase, and at what price.
//!
//! The same for a dry run (validation) and for a hold. Every condition is looked at, so that a
//! refusal names all that failed.

mod obstacles;

use iso_currency::Currency;
use serde_json::{Value, json};
use shared::{
    clock::Instant,
    contracts::{HoldPromocodeV1, Reason, RefusalCode, UserStatus},
    ids::{TariffId, UserId},
    money::{Amount, Money},
};

pub use obstacles::obstacles;

use super::{
    campaign::{Campaign, CampaignStatus},
    discount::Priced,
    eligibility::Relation,
    promocode::{Promocode, as_shown},
};

/// How many tariffs a refusal names at most: it travels, and is kept.
const MOST_TOLD: usize = 20;

/// What is asked: a promocode, for something at a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRequest {
    /// As the customer typed it.
    pub promocode: String,
    /// Who asks.
    pub user_id: UserId,
    /// When they registered, as far as known.
    pub user_registered_at: Option<Instant>,
    /// Whether they have ever paid for anything.
    pub has_purchased: bool,
    /// What is to be bought.
    pub tariff_id: TariffId,
    /// At which price before the discount, in the platform's currency; not below zero.
    pub price: Amount,
    /// The moment that start and end are judged at.
    pub requested_at: Instant,
}

/// A hold whose price this platform can't have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a price of {found} can't be on a platform whose currency is {}", currency.code())]
pub struct ImpossiblePrice {
    /// The price in the command.
    pub found: Money,
    /// The platform's currency.
    pub currency: Currency,
}

impl HoldRequest {
    /// What the command asks, on a platform whose currency is `currency`.
    ///
    /// # Errors
    /// When its price is negative or in another currency: a fault of the sender, no refusal.
    pub fn from_command(command: &HoldPromocodeV1, currency: Currency) -> Result<Self, ImpossiblePrice> {
        let found = command.price;
        if found.currency != currency || found.amount.is_negative() {
            return Err(ImpossiblePrice { found, currency });
        }
        Ok(Self {
            promocode: command.promocode.clone(),
            user_id: command.user_id,
            user_registered_at: command.user_registered_at,
            has_purchased: command.has_purchased,
            tariff_id: command.tariff_id,
            price: found.amount,
            requested_at: command.requested_at,
        })
    }
}

/// The promocode that was asked for, with its campaign.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The promocode.
    pub promocode: &'a Promocode,
    /// The campaign that it belongs to.
    pub campaign: &'a Campaign,
}

/// How many uses are taken (held ones included). Looked at only where there is a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the promocode.
    pub promocode_used: i64,
    /// Of all the campaign's promocodes.
    pub campaign_used: i64,
    /// Of all the campaign's promocodes, by this user.
    pub user_used: i64,
}

/// What loyalty says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, at this price; the use counts.
    Held(Priced),
    /// No; every condition that failed, never empty. The administrators' copy: see
    /// [`mask`](super::masking::mask).
    Refused(Vec<Reason>),
}

/// Looks at every condition and prices the purchase.
///
/// `found` is none where nobody made such a promocode (or what was typed can't be one);
/// `user_status` is none where loyalty has not heard of the user yet, or where it is not loyalty
/// who judges it (a hold); neither is a refusal.
#[must_use]
pub fn decide(
    request: &HoldRequest,
    found: Option<Found<'_>>,
    usage: &Usage,
    relation: Relation,
    user_status: Option<UserStatus>,
) -> Decision {
    let mut reasons: Vec<Reason> = user_may_act(user_status).into_iter().collect();
    let Some(Found { promocode, campaign }) = found else {
        reasons.push(unknown_promocode(&request.promocode));
        return Decision::Refused(reasons);
    };
    let case = Case {
        request,
        promocode: Some(promocode),
        campaign,
        usage,
        relation,
    };
    reasons.extend(CONDITIONS.iter().filter_map(|condition| condition(&case)));
    if reasons.is_empty() {
        Decision::Held(campaign.discount.price(request.price))
    } else {
        Decision::Refused(reasons)
    }
}

/// Whether whoever asks reads of the promocode that there is none: since there is none, or since it is
/// meant for others.
#[must_use]
pub fn is_unknown_to(request: &HoldRequest, found: Option<Found<'_>>, relation: Relation) -> bool {
    found.is_none_or(|Found { promocode, campaign }| {
        let case = Case {
            request,
            promocode: Some(promocode),
            campaign,
            usage: &Usage::default(),
            relation,
        };
        user_is_meant(&case).is_some()
    })
}

/// Whether a promocode of `campaign` could be held, as far as that is not about the promocode
/// itself.
#[must_use]
pub fn campaign_admits(
    request: &HoldRequest,
    campaign: &Campaign,
    usage: &Usage,
    relation: Relation,
    user_status: Option<UserStatus>,
) -> bool {
    let case = Case {
        request,
        promocode: None,
        campaign,
        usage,
        relation,
    };
    user_may_act(user_status).is_none() && CONDITIONS.iter().all(|condition| condition(&case).is_none())
}

/// Everything that a condition may look at.
struct Case<'a> {
    request: &'a HoldRequest,
    /// None where its campaign alone is looked at.
    promocode: Option<&'a Promocode>,
    campaign: &'a Campaign,
    usage: &'a Usage,
    relation: Relation,
}

/// Gives the reason if it fails.
type Condition = fn(&Case<'_>) -> Option<Reason>;

/// All conditions on a promocode that exists, in the order in which reasons are listed.
const CONDITIONS: &[Condition] = &[
    user_is_meant,
    promocode_is_enabled,
    campaign_has_started,
    campaign_has_not_ended,
    campaign_is_not_archived,
    campaign_is_not_paused,
    promocode_has_uses_left,
    campaign_has_uses_left,
    user_has_uses_left,
    tariff_is_eligible,
    price_is_high_enough,
    purchase_is_the_first,
    user_is_new,
];

fn reason(code: RefusalCode, detail: &str, expected: Value, found: Value) -> Reason {
    Reason {
        code,
        detail: detail.to_owned(),
        expected: Some(expected),
        found: Some(found),
    }
}

fn user_may_act(status: Option<UserStatus>) -> Option<Reason> {
    let found = match status {
        None | Some(UserStatus::Active) => return None,
        Some(UserStatus::Blocked) => "blocked",
        Some(UserStatus::Deleted) => "deleted",
    };
    Some(reason(
        RefusalCode::UserBlocked,
        "The user is blocked.",
        json!("active"),
        json!(found),
    ))
}

pub(super) fn unknown_promocode(typed: &str) -> Reason {
    reason(
        RefusalCode::UnknownPromocode,
        "There is no such promocode.",
        json!("a promocode that exists"),
        json!(as_shown(typed)),
    )
}

fn user_is_meant(case: &Case<'_>) -> Option<Reason> {
    let (campaign, relation) = (case.campaign, case.relation);
    let named = &campaign.eligibility;
    let (meant, expected) = if campaign.requires_grant {
        (relation.granted, "a grant")
    } else if named.names_people() {
        let is_named = named.users.contains(&case.request.user_id) || relation.in_group;
        (
            is_named || relation.granted,
            "one of the campaign's users or groups, or a grant",
        )
    } else {
        return None;
    };
    (!meant).then(|| {
        reason(
            RefusalCode::NotGranted,
            "The promocode is meant for others.",
            json!(expected),
            json!("none"),
        )
    })
}

fn promocode_is_enabled(case: &Case<'_>) -> Option<Reason> {
    case.promocode?.disabled.then(|| {
        reason(
            RefusalCode::PromocodeDisabled,
            "The promocode was switched off.",
            json!("enabled"),
            json!("disabled"),
        )
    })
}

fn campaign_has_started(case: &Case<'_>) -> Option<Reason> {
    let (starts_at, requested_at) = (case.campaign.starts_at?, case.request.requested_at);
    (requested_at < starts_at).then(|| {
        reason(
            RefusalCode::CampaignNotStarted,
            "The campaign has not started yet.",
            json!(starts_at),
            json!(requested_at),
        )
    })
}

fn campaign_has_not_ended(case: &Case<'_>) -> Option<Reason> {
    let (ends_at, requested_at) = (case.campaign.ends_at?, case.request.requested_at);
    (requested_at >= ends_at).then(|| campaign_ended(json!(ends_at), json!(requested_at)))
}

fn campaign_is_not_archived(case: &Case<'_>) -> Option<Reason> {
    let status = case.campaign.status;
    (status == CampaignStatus::Archived).then(|| campaign_ended(json!("active"), json!(status.as_str())))
}

fn campaign_ended(expected: Value, found: Value) -> Reason {
    reason(
        RefusalCode::CampaignEnded,
        "The campaign is over.",
        expected,
        found,
    )
}

fn campaign_is_not_paused(case: &Case<'_>) -> Option<Reason> {
    let status = case.campaign.status;
    (status == CampaignStatus::Paused).then(|| {
        reason(
            RefusalCode::CampaignPaused,
            "The campaign is paused.",
            json!("active"),
            json!(status.as_str()),
        )
    })
}

fn promocode_has_uses_left(case: &Case<'_>) -> Option<Reason> {
    let (limit, used) = (case.promocode?.max_uses?, case.usage.promocode_used);
    (used >= limit).then(|| {
        reason(
            RefusalCode::UsesExhausted,
            "Every use of the promocode is taken.",
            json!(limit),
            json!(used),
        )
    })
}

fn campaign_has_uses_left(case: &Case<'_>) -> Option<Reason> {
    let (limit, used) = (case.campaign.max_redemptions?, case.usage.campaign_used);
    (used >= limit).then(|| {
        reason(
            RefusalCode::UsesExhausted,
            "Every use of the campaign is taken.",
            json!(limit),
            json!(used),
        )
    })
}

fn user_has_uses_left(case: &Case<'_>) -> Option<Reason> {
    let (limit, used) = (case.campaign.max_per_user?, case.usage.user_used);
    (used >= limit).then(|| {
        reason(
            RefusalCode::UserLimitReached,
            "The user has had as many uses as one user may have.",
            json!(limit),
            json!(used),
        )
    })
}

fn tariff_is_eligible(case: &Case<'_>) -> Option<Reason> {
    let (tariffs, tariff) = (&case.campaign.eligibility.tariffs, case.request.tariff_id);
    (!tariffs.is_empty() && !tariffs.contains(&tariff)).then(|| {
        reason(
            RefusalCode::TariffNotEligible,
            "The promocode is not for this tariff.",
            json!({
                "tariffs": tariffs.iter().take(MOST_TOLD).collect::<Vec<_>>(),
                "count": tariffs.len(),
            }),
            json!(tariff),
        )
    })
}

fn price_is_high_enough(case: &Case<'_>) -> Option<Reason> {
    let (least, price) = (case.campaign.eligibility.min_price?, case.request.price);
    (price < least.amount).then(|| {
        reason(
            RefusalCode::PriceBelowMinimum,
            "The price is below the least that the promocode is for.",
            json!(least),
            json!(Money::new(price, least.currency)),
        )
    })
}

fn purchase_is_the_first(case: &Case<'_>) -> Option<Reason> {
    (case.campaign.eligibility.first_purchase && case.request.has_purchased).then(|| {
        reason(
            RefusalCode::NotFirstPurchase,
            "The promocode is for a first purchase.",
            json!("no purchase before"),
            json!("a purchase before"),
        )
    })
}

fn user_is_new(case: &Case<'_>) -> Option<Reason> {
    let within = case.campaign.eligibility.new_users?.registered_within;
    // Who is not known yet has registered just now, most likely.
    let registered_at = case.request.user_registered_at?;
    let earliest = within.before(case.request.requested_at)?;
    (registered_at < earliest).then(|| {
        reason(
            RefusalCode::NotNewUser,
            "The promocode is for new users.",
            json!({"registered_within": within, "registered_since": earliest}),
            json!(registered_at),
        )
    })
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;

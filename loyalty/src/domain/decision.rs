//! The decision: may this user have this promocode for this purchase, and at what price.
//!
//! The same for a dry run (validation) and for a hold. Every condition is looked at, so that a
//! refusal names all that failed.

use iso_currency::Currency;
use serde_json::{Value, json};
use shared::{
    clock::Instant,
    contracts::{HoldPromocodeV1, Reason, RefusalCode, UserStatus},
    ids::{TariffId, UserId},
    money::{Amount, Money},
};

use super::{
    campaign::{Campaign, CampaignStatus},
    discount::Priced,
    promocode::{Promocode, as_shown},
};

/// What is asked: a promocode, for something at a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRequest {
    /// As the customer typed it.
    pub promocode: String,
    /// Who asks.
    pub user_id: UserId,
    /// When they registered, as far as known.
    pub user_registered_at: Option<Instant>,
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
    /// No; every condition that failed, never empty. The administrators' copy: see [`mask`].
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
    user_status: Option<UserStatus>,
) -> Decision {
    let mut reasons: Vec<Reason> = user_may_act(user_status).into_iter().collect();
    let Some(Found { promocode, campaign }) = found else {
        reasons.push(unknown_promocode(&request.promocode));
        return Decision::Refused(reasons);
    };
    let case = Case {
        request,
        promocode,
        campaign,
        usage,
    };
    reasons.extend(CONDITIONS.iter().filter_map(|condition| condition(&case)));
    if reasons.is_empty() {
        Decision::Held(campaign.discount.price(request.price))
    } else {
        Decision::Refused(reasons)
    }
}

/// Everything that a condition may look at.
struct Case<'a> {
    request: &'a HoldRequest,
    promocode: &'a Promocode,
    campaign: &'a Campaign,
    usage: &'a Usage,
}

/// Gives the reason if it fails.
type Condition = fn(&Case<'_>) -> Option<Reason>;

/// All conditions on a promocode that exists, in the order in which reasons are listed.
const CONDITIONS: &[Condition] = &[
    promocode_is_enabled,
    campaign_has_started,
    campaign_has_not_ended,
    campaign_is_not_archived,
    campaign_is_not_paused,
    promocode_has_uses_left,
    campaign_has_uses_left,
    user_has_uses_left,
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

const UNKNOWN_DETAIL: &str = "There is no such promocode.";

fn unknown_promocode(typed: &str) -> Reason {
    reason(
        RefusalCode::UnknownPromocode,
        UNKNOWN_DETAIL,
        json!("a promocode that exists"),
        json!(as_shown(typed)),
    )
}

fn promocode_is_enabled(case: &Case<'_>) -> Option<Reason> {
    case.promocode.disabled.then(|| {
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

const EXHAUSTED_DETAIL: &str = "Every use of the promocode is taken.";

fn promocode_has_uses_left(case: &Case<'_>) -> Option<Reason> {
    let (limit, used) = (case.promocode.max_uses?, case.usage.promocode_used);
    (used >= limit).then(|| {
        reason(
            RefusalCode::UsesExhausted,
            EXHAUSTED_DETAIL,
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

/// The customer's copy of the reasons, the only one that leaves loyalty. Each code comes once.
///
/// A code that is switched off or meant for others reads as one that does not exist, and takes
/// with it whatever else would show that it does. What others have used is not told either.
/// What is about the users themselves, and public dates, stay.
#[must_use]
pub fn mask(reasons: &[Reason]) -> Vec<Reason> {
    let hidden = reasons.iter().any(|reason| reads_as_unknown(reason.code));
    let mut masked: Vec<Reason> = Vec::with_capacity(reasons.len());
    for reason in reasons {
        let reason = match reason.code {
            code if reads_as_unknown(code) => continue,
            code if hidden && !is_about_the_user_alone(code) => continue,
            RefusalCode::UsesExhausted => without_figures(RefusalCode::UsesExhausted, EXHAUSTED_DETAIL),
            RefusalCode::BudgetExhausted => without_figures(RefusalCode::BudgetExhausted, &reason.detail),
            _ => reason.clone(),
        };
        if masked.iter().all(|other| other.code != reason.code) {
            masked.push(reason);
        }
    }
    if hidden {
        masked.push(without_figures(RefusalCode::UnknownPromocode, UNKNOWN_DETAIL));
    }
    masked
}

fn without_figures(code: RefusalCode, detail: &str) -> Reason {
    Reason {
        code,
        detail: detail.to_owned(),
        expected: None,
        found: None,
    }
}

/// Codes that tell a customer of a promocode that they may not know of.
const fn reads_as_unknown(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::UnknownPromocode | RefusalCode::PromocodeDisabled | RefusalCode::NotGranted
    )
}

/// Codes that would be the same for a promocode that does not exist.
const fn is_about_the_user_alone(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::UserBlocked | RefusalCode::TooManyAttempts)
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;

//! The decision: may this user have this promocode for this purchase, and at what price.
//!
//! The same for a dry run (validation) and for a hold. Every condition is looked at, so that a
//! refusal names all that failed.

mod obstacles;

use iso_currency::Currency;
use serde_json::{Value, json};
use shared::{
    clock::Instant,
    contracts::{HoldPromocodeV1, NotHeldReason, Reason, RefusalCode, UserStatus},
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
    /// What the buyer's wallet holds; none if that is not known, or not asked.
    pub balance: Option<Amount>,
    /// What the buyer expects to be charged; none if any price will do.
    pub expected_price: Option<Amount>,
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
        let other_money = [command.balance, command.expected_price];
        let wrong = other_money
            .into_iter()
            .flatten()
            .find(|money| money.currency != currency);
        let price = command.price;
        let wrong = wrong.or((price.currency != currency || price.amount.is_negative()).then_some(price));
        if let Some(found) = wrong {
            return Err(ImpossiblePrice { found, currency });
        }
        Ok(Self {
            promocode: command.promocode.clone(),
            user_id: command.user_id,
            user_registered_at: command.user_registered_at,
            has_purchased: command.has_purchased,
            tariff_id: command.tariff_id,
            price: price.amount,
            requested_at: command.requested_at,
            balance: command.balance.map(|balance| balance.amount),
            expected_price: command.expected_price.map(|price| price.amount),
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

/// The uses that one counter counts. Looked at only where there is a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Taken, held ones included.
    pub taken: i64,
    /// Those of them that may come back, since their purchases are not over. Need be known only where
    /// all are taken.
    pub held: i64,
    /// Whether a purchase waits for one of them, which no other may pass.
    pub awaited: bool,
}

impl Uses {
    /// So many are taken for good, as far as is known.
    #[must_use]
    pub const fn taken(taken: i64) -> Self {
        Self {
            taken,
            held: 0,
            awaited: false,
        }
    }

    /// Those that are taken for good.
    #[must_use]
    pub const fn confirmed(self) -> i64 {
        self.taken.saturating_sub(self.held)
    }

    /// Whether `limit` of them are taken for good.
    #[must_use]
    pub const fn are_gone(self, limit: i64) -> bool {
        self.confirmed() >= limit
    }

    /// Whether one can be taken now under `limit`.
    #[must_use]
    pub const fn have_room(self, limit: i64) -> bool {
        self.taken < limit && !self.awaited
    }
}

/// The uses that are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the promocode.
    pub promocode: Uses,
    /// Of all the campaign's promocodes.
    pub campaign: Uses,
    /// Of all the campaign's promocodes, by this user.
    pub user: Uses,
}

/// The limits under which no use can be taken now, though one may come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitsFor {
    /// The campaign's.
    pub campaign: bool,
    /// The promocode's.
    pub promocode: bool,
    /// The user's.
    pub user: bool,
}

impl WaitsFor {
    /// Whether there is any.
    #[must_use]
    pub const fn any(self) -> bool {
        self.campaign || self.promocode || self.user
    }
}

/// What loyalty says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, at this price; the use counts.
    Held(Priced),
    /// The promocode is good, and the purchase would fail at this price: no use is taken.
    NotHeld(Priced, NotHeldReason),
    /// Not yet: all uses are taken under these limits, or others wait for them, and some may come back.
    Waits(WaitsFor),
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
    if !reasons.is_empty() {
        return Decision::Refused(reasons);
    }
    let priced = campaign.discount.price(request.price);
    if let Some(reason) = would_fail(request, priced.final_price) {
        return Decision::NotHeld(priced, reason);
    }
    let waits_for = waits_for(&case);
    if waits_for.any() {
        Decision::Waits(waits_for)
    } else {
        Decision::Held(priced)
    }
}

/// The limits under which no use can be taken now.
fn waits_for(case: &Case<'_>) -> WaitsFor {
    let is_full = |limit: Option<i64>, uses: Uses| limit.is_some_and(|limit| !uses.have_room(limit));
    let (campaign, usage) = (case.campaign, case.usage);
    WaitsFor {
        campaign: is_full(campaign.max_redemptions, usage.campaign),
        promocode: is_full(
            case.promocode.and_then(|promocode| promocode.max_uses),
            usage.promocode,
        ),
        user: is_full(campaign.max_per_user, usage.user),
    }
}

/// Why a use that may come back is not waited for: in a dry run, or since too many wait.
#[must_use]
pub fn uses_held(found: Found<'_>, usage: &Usage, waits_for: WaitsFor) -> Vec<Reason> {
    let Found { promocode, campaign } = found;
    let limits = [
        (waits_for.promocode, promocode.max_uses, usage.promocode),
        (waits_for.campaign, campaign.max_redemptions, usage.campaign),
        (waits_for.user, campaign.max_per_user, usage.user),
    ];
    limits
        .into_iter()
        .filter(|(waits, ..)| *waits)
        .map(|(_, limit, uses)| {
            reason(
                RefusalCode::UsesHeld,
                "Every use that is left is held for other purchases at the moment. Some may come back: please try again.",
                json!(limit),
                json!(uses.taken),
            )
        })
        .collect()
}

/// Why a purchase at `price` would fail, as far as its command says.
fn would_fail(request: &HoldRequest, price: Amount) -> Option<NotHeldReason> {
    if request.expected_price.is_some_and(|expected| expected != price) {
        return Some(NotHeldReason::PriceChanged);
    }
    let too_little = request.balance.is_some_and(|balance| balance < price);
    too_little.then_some(NotHeldReason::InsufficientFunds)
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
    user_may_act(user_status).is_none()
        && CONDITIONS.iter().all(|condition| condition(&case).is_none())
        && !waits_for(&case).any()
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
    price_is_lowered,
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
    let (limit, uses) = (case.promocode?.max_uses?, case.usage.promocode);
    uses.are_gone(limit).then(|| {
        reason(
            RefusalCode::UsesExhausted,
            "Every use of the promocode is taken.",
            json!(limit),
            json!(uses.confirmed()),
        )
    })
}

fn campaign_has_uses_left(case: &Case<'_>) -> Option<Reason> {
    let (limit, uses) = (case.campaign.max_redemptions?, case.usage.campaign);
    uses.are_gone(limit).then(|| {
        reason(
            RefusalCode::UsesExhausted,
            "Every use of the campaign is taken.",
            json!(limit),
            json!(uses.confirmed()),
        )
    })
}

fn user_has_uses_left(case: &Case<'_>) -> Option<Reason> {
    let (limit, uses) = (case.campaign.max_per_user?, case.usage.user);
    uses.are_gone(limit).then(|| {
        reason(
            RefusalCode::UserLimitReached,
            "The user has had as many uses as one user may have.",
            json!(limit),
            json!(uses.confirmed()),
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

fn price_is_lowered(case: &Case<'_>) -> Option<Reason> {
    let price = case.request.price;
    (case.campaign.discount.price(price).discount == Amount::ZERO).then(|| {
        reason(
            RefusalCode::NoDiscount,
            "The promocode takes nothing off this price.",
            json!("a price that the promocode lowers"),
            json!(price),
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

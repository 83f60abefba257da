//! Tests of [`super`].

use chrono::{DateTime, Duration};
use shared::ids::{CampaignId, GroupId, PromocodeId, PurchaseId};
use uuid::Uuid;

use super::*;
use crate::domain::{
    campaign::{Recounted, RefundPolicy},
    discount::Discount,
    eligibility::{Eligibility, NewUsers},
    masking::mask,
    promocode::PromocodeCode,
};

fn noon() -> Instant {
    DateTime::UNIX_EPOCH + Duration::hours(12)
}

fn request() -> HoldRequest {
    HoldRequest {
        promocode: "half".to_owned(),
        user_id: UserId(Uuid::nil()),
        user_registered_at: None,
        has_purchased: false,
        tariff_id: TariffId(Uuid::nil()),
        price: Amount(1_000),
        requested_at: noon(),
        balance: None,
        expected_price: None,
    }
}

fn campaign() -> Campaign {
    Campaign {
        id: CampaignId(Uuid::nil()),
        version: 1,
        name: "Half".to_owned(),
        title: None,
        discount: Discount::Percent {
            percent: "50".parse().unwrap(),
        },
        starts_at: Some(noon()),
        ends_at: Some(noon() + Duration::hours(1)),
        timezone: None,
        status: CampaignStatus::Active,
        max_redemptions: Some(10),
        max_per_user: Some(1),
        eligibility: Eligibility::default(),
        requires_grant: false,
        listed: false,
        refund_policy: RefundPolicy::default(),
        recounted: Recounted::default(),
    }
}

fn promocode() -> Promocode {
    Promocode {
        id: PromocodeId(Uuid::nil()),
        campaign_id: CampaignId(Uuid::nil()),
        code: PromocodeCode::parse("HALF").unwrap(),
        max_uses: Some(5),
        disabled: false,
        version: 1,
    }
}

fn refused(decision: Decision) -> Vec<Reason> {
    match decision {
        Decision::Refused(reasons) => reasons,
        other => panic!("not refused: {other:?}"),
    }
}

fn codes(reasons: &[Reason]) -> Vec<RefusalCode> {
    reasons.iter().map(|reason| reason.code).collect()
}

/// Decides about a fresh request, with whatever the test changes.
fn decide_with(
    change: impl FnOnce(&mut HoldRequest, &mut Promocode, &mut Campaign, &mut Usage),
    status: Option<UserStatus>,
) -> Decision {
    let (mut request, mut promocode, mut campaign) = (request(), promocode(), campaign());
    let mut usage = Usage::default();
    change(&mut request, &mut promocode, &mut campaign, &mut usage);
    let found = Found {
        promocode: &promocode,
        campaign: &campaign,
    };
    decide(&request, Some(found), &usage, Relation::default(), status)
}

/// The one reason for which a request is refused.
fn only_reason(change: impl FnOnce(&mut HoldRequest, &mut Promocode, &mut Campaign, &mut Usage)) -> Reason {
    let mut reasons = refused(decide_with(change, None));
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

#[test]
fn a_promocode_that_meets_every_condition_is_held_at_its_price() {
    let held = Decision::Held(Priced {
        list_price: Amount(1_000),
        discount: Amount(500),
        final_price: Amount(500),
    });
    assert_eq!(decide_with(|_, _, _, _| {}, None), held);
    assert_eq!(decide_with(|_, _, _, _| {}, Some(UserStatus::Active)), held);
}

#[test]
fn no_use_is_taken_at_a_price_that_the_buyer_does_not_expect_or_cannot_pay() {
    let priced = Priced {
        list_price: Amount(1_000),
        discount: Amount(500),
        final_price: Amount(500),
    };
    let ask = |expected: Option<i64>, balance: Option<i64>| {
        let change = |request: &mut HoldRequest, _: &mut Promocode, _: &mut Campaign, _: &mut Usage| {
            request.expected_price = expected.map(Amount);
            request.balance = balance.map(Amount);
        };
        decide_with(change, None)
    };
    for (expected, balance) in [
        (None, None),
        (None, Some(500)),
        (Some(500), None),
        (Some(500), Some(500)),
    ] {
        assert_eq!(ask(expected, balance), Decision::Held(priced));
    }
    let too_little = Decision::NotHeld(priced, NotHeldReason::InsufficientFunds);
    assert_eq!(ask(None, Some(499)), too_little);
    assert_eq!(ask(Some(500), Some(0)), too_little);
    let other_price = Decision::NotHeld(priced, NotHeldReason::PriceChanged);
    for (expected, balance) in [(499, None), (501, Some(5_000)), (1_000, Some(0))] {
        assert_eq!(ask(Some(expected), balance), other_price);
    }
    // A refusal says more than a price that is not to be had.
    let reason = only_reason(|request, promocode, _, _| {
        request.balance = Some(Amount::ZERO);
        promocode.disabled = true;
    });
    assert_eq!(reason.code, RefusalCode::PromocodeDisabled);
}

#[test]
fn a_use_that_may_come_back_is_waited_for_and_one_that_is_confirmed_is_not() {
    let ask = |promocode: Uses, campaign: Uses, user: Uses| {
        let usage = Usage {
            promocode,
            campaign,
            user,
        };
        decide_with(|_, _, _, given| *given = usage, None)
    };
    let uses = |taken, held| Uses {
        held,
        ..Uses::taken(taken)
    };
    let free = uses(0, 0);
    let waits = |campaign, promocode, user| {
        Decision::Waits(WaitsFor {
            campaign,
            promocode,
            user,
        })
    };
    assert_eq!(ask(uses(5, 1), free, free), waits(false, true, false));
    assert_eq!(ask(uses(5, 5), uses(10, 1), uses(1, 1)), waits(true, true, true));
    // A limit that was lowered: more are taken than it allows.
    assert_eq!(ask(uses(9, 5), free, free), waits(false, true, false));
    assert_eq!(
        codes(&refused(ask(uses(9, 4), free, free))),
        [RefusalCode::UsesExhausted]
    );
    let one_for_good = refused(ask(uses(5, 0), uses(10, 1), uses(1, 1)));
    assert_eq!(
        codes(&one_for_good),
        [RefusalCode::UsesExhausted],
        "only what is gone for good"
    );
    assert_eq!(one_for_good[0].found, Some(json!(5)));
    // A hold waits already.
    let awaited = Uses {
        awaited: true,
        ..free
    };
    assert_eq!(ask(awaited, free, free), waits(false, true, false));
    // A buyer who could not pay does not wait.
    let poor = |request: &mut HoldRequest, _: &mut Promocode, _: &mut Campaign, usage: &mut Usage| {
        request.balance = Some(Amount::ZERO);
        usage.promocode = uses(5, 5);
    };
    assert!(matches!(
        decide_with(poor, None),
        Decision::NotHeld(_, NotHeldReason::InsufficientFunds)
    ));
}

#[test]
fn a_discount_of_nothing_is_refused() {
    let rub = |amount| Money::new(Amount(amount), Currency::RUB);
    let percent = |text: &str| Discount::Percent {
        percent: text.parse().unwrap(),
    };
    for (discount, price, is_one) in [
        (Discount::FixedPrice { price: rub(1_000) }, 1_000, false),
        (Discount::FixedPrice { price: rub(1_001) }, 1_000, false),
        (Discount::FixedPrice { price: rub(999) }, 1_000, true),
        (percent("1"), 49, false),
        (percent("1"), 50, true),
        (Discount::Free {}, 0, false),
        (Discount::Free {}, 1, true),
        (Discount::AmountOff { amount: rub(1) }, 0, false),
    ] {
        let change =
            |request: &mut HoldRequest, _: &mut Promocode, campaign: &mut Campaign, _: &mut Usage| {
                request.price = Amount(price);
                campaign.discount = discount;
            };
        if is_one {
            assert!(
                matches!(decide_with(change, None), Decision::Held(_)),
                "{discount:?}"
            );
        } else {
            let reason = only_reason(change);
            assert_eq!(reason.code, RefusalCode::NoDiscount, "{discount:?}");
            assert_eq!(reason.found, Some(json!(price)));
        }
    }
}

#[test]
fn the_start_is_inclusive_and_the_end_exclusive() {
    let tick = Duration::microseconds(1);
    let at = |moment| decide_with(|request, _, _, _| request.requested_at = moment, None);
    assert_eq!(
        codes(&refused(at(noon() - tick))),
        [RefusalCode::CampaignNotStarted]
    );
    assert!(matches!(at(noon()), Decision::Held(_)));
    let end = noon() + Duration::hours(1);
    assert!(matches!(at(end - tick), Decision::Held(_)));
    let reasons = refused(at(end));
    assert_eq!(codes(&reasons), [RefusalCode::CampaignEnded]);
    assert_eq!(reasons[0].expected, Some(json!("1970-01-01T13:00:00Z")));
    assert_eq!(reasons[0].found, Some(json!("1970-01-01T13:00:00Z")));
    let open_ended = decide_with(
        |request, _, campaign, _| {
            campaign.ends_at = None;
            request.requested_at = end;
        },
        None,
    );
    assert!(matches!(open_ended, Decision::Held(_)));
}

#[test]
fn a_campaign_without_a_start_is_open_since_ever() {
    let decision = decide_with(
        |request, _, campaign, _| {
            campaign.starts_at = None;
            request.requested_at = DateTime::<chrono::Utc>::MIN_UTC;
        },
        None,
    );
    assert!(matches!(decision, Decision::Held(_)));
}

#[test]
fn an_archived_campaign_is_over_and_a_paused_one_paused() {
    let archived = only_reason(|_, _, campaign, _| campaign.status = CampaignStatus::Archived);
    assert_eq!(archived.code, RefusalCode::CampaignEnded);
    assert_eq!(archived.found, Some(json!("archived")));
    let paused = only_reason(|_, _, campaign, _| campaign.status = CampaignStatus::Paused);
    assert_eq!(paused.code, RefusalCode::CampaignPaused);
}

#[test]
fn each_limit_refuses_what_is_past_it_with_its_figures() {
    let promocode = only_reason(|_, _, _, usage| usage.promocode = Uses::taken(5));
    assert_eq!(promocode.code, RefusalCode::UsesExhausted);
    assert_eq!(
        (promocode.expected, promocode.found),
        (Some(json!(5)), Some(json!(5)))
    );
    let campaign = only_reason(|_, _, _, usage| usage.campaign = Uses::taken(11));
    assert_eq!(campaign.code, RefusalCode::UsesExhausted);
    assert_eq!(
        (campaign.expected, campaign.found),
        (Some(json!(10)), Some(json!(11)))
    );
    let user = only_reason(|_, _, _, usage| usage.user = Uses::taken(1));
    assert_eq!(user.code, RefusalCode::UserLimitReached);
    let last = Usage {
        promocode: Uses::taken(4),
        campaign: Uses::taken(9),
        user: Uses::taken(0),
    };
    assert!(matches!(
        decide_with(|_, _, _, usage| *usage = last, None),
        Decision::Held(_)
    ));
}

#[test]
fn without_limits_no_count_refuses() {
    let decision = decide_with(
        |_, promocode, campaign, usage| {
            promocode.max_uses = None;
            campaign.max_redemptions = None;
            campaign.max_per_user = None;
            *usage = Usage {
                promocode: Uses::taken(i64::MAX),
                campaign: Uses::taken(i64::MAX),
                user: Uses::taken(i64::MAX),
            };
        },
        None,
    );
    assert!(matches!(decision, Decision::Held(_)));
}

#[test]
fn a_refusal_names_every_condition_that_failed() {
    let decision = decide_with(
        |request, promocode, campaign, usage| {
            promocode.disabled = true;
            campaign.status = CampaignStatus::Paused;
            request.requested_at = noon() + Duration::days(1);
            *usage = Usage {
                promocode: Uses::taken(5),
                campaign: Uses::taken(10),
                user: Uses::taken(1),
            };
        },
        Some(UserStatus::Blocked),
    );
    let reasons = refused(decision);
    assert_eq!(
        codes(&reasons),
        [
            RefusalCode::UserBlocked,
            RefusalCode::PromocodeDisabled,
            RefusalCode::CampaignEnded,
            RefusalCode::CampaignPaused,
            RefusalCode::UsesExhausted,
            RefusalCode::UsesExhausted,
            RefusalCode::UserLimitReached,
        ]
    );
    for reason in reasons {
        assert!(reason.expected.is_some() && reason.found.is_some() && reason.detail.ends_with('.'));
    }
}

#[test]
fn an_unknown_promocode_is_refused_as_that_and_for_the_user_only() {
    let ask = |promocode: &str, status| {
        let request = HoldRequest {
            promocode: promocode.to_owned(),
            ..request()
        };
        refused(decide(
            &request,
            None,
            &Usage::default(),
            Relation::default(),
            status,
        ))
    };
    let reasons = ask(" no\0pe ", None);
    assert_eq!(codes(&reasons), [RefusalCode::UnknownPromocode]);
    assert_eq!(reasons[0].found, Some(json!("no\u{fffd}pe")));
    let blocked = ask("nope", Some(UserStatus::Deleted));
    assert_eq!(
        codes(&blocked),
        [RefusalCode::UserBlocked, RefusalCode::UnknownPromocode]
    );
}

/// Decides where the campaign asks for something and the user stands to it like that.
fn decide_for(
    relation: Relation,
    change: impl FnOnce(&mut HoldRequest, &mut Campaign),
    status: Option<UserStatus>,
) -> Decision {
    let (mut request, promocode, mut campaign) = (request(), promocode(), campaign());
    change(&mut request, &mut campaign);
    let found = Found {
        promocode: &promocode,
        campaign: &campaign,
    };
    decide(&request, Some(found), &Usage::default(), relation, status)
}

const NOBODY: Relation = Relation {
    in_group: false,
    granted: false,
};
const MEMBER: Relation = Relation {
    in_group: true,
    granted: false,
};
const GRANTED: Relation = Relation {
    in_group: false,
    granted: true,
};

#[test]
fn who_is_named_is_in_a_named_group_or_has_a_grant_is_meant() {
    let somebody = UserId(Uuid::from_u128(7));
    let named = |users: &[UserId]| {
        let users = users.iter().copied().collect();
        move |_: &mut HoldRequest, campaign: &mut Campaign| {
            campaign.eligibility.users = users;
            campaign.eligibility.groups = [GroupId(Uuid::nil())].into();
        }
    };
    let reasons = refused(decide_for(NOBODY, named(&[somebody]), None));
    assert_eq!(codes(&reasons), [RefusalCode::NotGranted]);
    assert!(reasons[0].expected.is_some() && reasons[0].found.is_some());
    for relation in [MEMBER, GRANTED] {
        assert!(matches!(
            decide_for(relation, named(&[somebody]), None),
            Decision::Held(_)
        ));
    }
    let own = decide_for(NOBODY, named(&[somebody, request().user_id]), None);
    assert!(matches!(own, Decision::Held(_)));
}

#[test]
fn what_requires_a_grant_is_for_nobody_without_one() {
    let required = |_: &mut HoldRequest, campaign: &mut Campaign| campaign.requires_grant = true;
    for relation in [NOBODY, MEMBER] {
        let reasons = refused(decide_for(relation, required, None));
        assert_eq!(codes(&reasons), [RefusalCode::NotGranted]);
    }
    assert!(matches!(decide_for(GRANTED, required, None), Decision::Held(_)));
}

#[test]
fn of_very_many_tariffs_a_refusal_names_some_and_says_how_many_there_are() {
    let many: Vec<_> = (1..=1_000).map(|id| TariffId(Uuid::from_u128(id))).collect();
    let reasons = refused(decide_for(
        NOBODY,
        |_, campaign| campaign.eligibility.tariffs = many.iter().copied().collect(),
        None,
    ));
    let expected = json!({"tariffs": many[..20], "count": 1_000});
    assert_eq!(reasons[0].expected, Some(expected.clone()));
    assert_eq!(mask(&reasons, "HALF")[0].expected, Some(expected));
}

#[test]
fn tariff_and_price_are_looked_at_with_what_was_expected_and_found() {
    let other = TariffId(Uuid::from_u128(7));
    let reasons = refused(decide_for(
        NOBODY,
        |request, campaign| {
            campaign.eligibility.tariffs = [other].into();
            campaign.eligibility.min_price = Some(Money::new(Amount(1_001), Currency::RUB));
            request.price = Amount(1_000);
        },
        None,
    ));
    assert_eq!(
        codes(&reasons),
        [RefusalCode::TariffNotEligible, RefusalCode::PriceBelowMinimum]
    );
    assert_eq!(reasons[0].expected, Some(json!({"tariffs": [other], "count": 1})));
    assert_eq!(reasons[0].found, Some(json!(request().tariff_id)));
    assert_eq!(
        reasons[1].expected,
        Some(json!({"amount": 1_001, "currency": "RUB"}))
    );
    assert_eq!(
        reasons[1].found,
        Some(json!({"amount": 1_000, "currency": "RUB"}))
    );
    let met = decide_for(
        NOBODY,
        |request, campaign| {
            campaign.eligibility.tariffs = [other, request.tariff_id].into();
            campaign.eligibility.min_price = Some(Money::new(Amount(1_000), Currency::RUB));
        },
        None,
    );
    assert!(matches!(met, Decision::Held(_)));
}

#[test]
fn a_first_purchase_is_one_before_which_there_was_none() {
    let first = |has_purchased| {
        decide_for(
            NOBODY,
            |request, campaign| {
                campaign.eligibility.first_purchase = true;
                request.has_purchased = has_purchased;
            },
            None,
        )
    };
    assert!(matches!(first(false), Decision::Held(_)));
    assert_eq!(codes(&refused(first(true))), [RefusalCode::NotFirstPurchase]);
}

#[test]
fn who_registered_within_the_period_or_is_not_known_yet_is_new() {
    let thirty_days = Duration::days(30);
    let registered = |at: Option<Instant>| {
        decide_for(
            NOBODY,
            |request, campaign| {
                campaign.eligibility.new_users = Some(NewUsers {
                    registered_within: "P30D".parse().unwrap(),
                });
                request.user_registered_at = at;
            },
            None,
        )
    };
    assert!(matches!(registered(None), Decision::Held(_)));
    assert!(matches!(
        registered(Some(noon() - thirty_days)),
        Decision::Held(_)
    ));
    // A clock that runs ahead.
    assert!(matches!(
        registered(Some(noon() + thirty_days)),
        Decision::Held(_)
    ));
    let reasons = refused(registered(Some(noon() - thirty_days - Duration::microseconds(1))));
    assert_eq!(codes(&reasons), [RefusalCode::NotNewUser]);
    let expected = json!({"registered_within": "P30D", "registered_since": "1969-12-02T12:00:00Z"});
    assert_eq!(reasons[0].expected, Some(expected));
}

#[test]
fn a_customer_cannot_tell_a_promocode_meant_for_others_from_none() {
    for status in [None, Some(UserStatus::Blocked)] {
        let relation = Relation::default();
        let none = refused(decide(&request(), None, &Usage::default(), relation, status));
        let hidden = decide_for(
            NOBODY,
            |request, campaign| {
                campaign.requires_grant = true;
                campaign.status = CampaignStatus::Paused;
                campaign.eligibility.first_purchase = true;
                request.has_purchased = true;
            },
            status,
        );
        let hidden = refused(hidden);
        assert!(hidden.len() > 2, "{hidden:?}");
        let masked = mask(&hidden, "half");
        assert_eq!(masked, mask(&none, "half"));
        assert_eq!(mask(&masked, "half"), masked);
        assert_eq!(masked.last(), Some(&unknown_promocode("half")));
    }
}

#[test]
fn a_customer_sees_whatever_else_was_expected_and_found() {
    let reasons = refused(decide_with(
        |request, promocode, _, usage| {
            promocode.disabled = true;
            request.requested_at = noon() - Duration::hours(1);
            *usage = Usage {
                promocode: Uses::taken(5),
                campaign: Uses::taken(10),
                user: Uses::taken(1),
            };
        },
        None,
    ));
    let masked = mask(&reasons, "half");
    assert_eq!(masked[..3], reasons[..3]);
    // Both the promocode and the campaign are used up, which is one thing to a customer.
    assert_eq!(codes(&reasons)[2..4], [RefusalCode::UsesExhausted; 2]);
    assert_eq!(masked[3..], reasons[4..]);
}

#[test]
fn a_hold_with_a_price_that_cannot_be_is_a_fault_not_a_refusal() {
    let command = |amount, currency| HoldPromocodeV1 {
        client_bucket: None,
        has_purchased: false,
        purchase_id: PurchaseId(Uuid::nil()),
        user_id: UserId(Uuid::nil()),
        user_registered_at: None,
        promocode: "half".to_owned(),
        tariff_id: TariffId(Uuid::nil()),
        tariff_version: 1,
        price: Money::new(Amount(amount), currency),
        requested_at: noon(),
        deadline: noon(),
        balance: None,
        expected_price: None,
    };
    let read = |command| HoldRequest::from_command(&command, Currency::RUB);
    assert_eq!(read(command(1_000, Currency::RUB)), Ok(request()));
    assert!(read(command(0, Currency::RUB)).is_ok());
    assert!(read(command(-1, Currency::RUB)).is_err());
    assert!(read(command(1_000, Currency::EUR)).is_err());
    let in_euros = Some(Money::new(Amount(1_000), Currency::EUR));
    for command in [
        HoldPromocodeV1 {
            balance: in_euros,
            ..command(1_000, Currency::RUB)
        },
        HoldPromocodeV1 {
            expected_price: in_euros,
            ..command(1_000, Currency::RUB)
        },
    ] {
        assert!(read(command).is_err());
    }
}

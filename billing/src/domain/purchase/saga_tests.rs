//! The saga, message by message.

use chrono::Duration;
use proptest::prelude::*;
use shared::{
    clock::Instant,
    contracts::{FailureReason, Reason, RefusalCode, TariffStatus, UserStatus},
    ids::{PurchaseId, TariffId, UserId},
    money::Amount,
};
use uuid::Uuid;

use super::*;
use crate::domain::{
    tariff::{NewTariff, Tariff},
    wallet::{MAX_OPERATION, OperationAmount},
};

fn now() -> Instant {
    "2026-11-05T10:00:00Z".parse().unwrap()
}

fn deadline() -> Instant {
    now() + Duration::seconds(30)
}

fn tariff(price: i64) -> Tariff {
    let new = NewTariff::parse("Basic", Amount(price), "P1M").unwrap();
    Tariff::new(TariffId(Uuid::from_u128(1)), new)
}

fn request(promocode: Option<&str>) -> PurchaseRequest {
    PurchaseRequest {
        id: PurchaseId(Uuid::from_u128(2)),
        user_id: UserId(Uuid::from_u128(3)),
        promocode: promocode.map(str::to_owned),
        deadline: deadline(),
    }
}

fn with_balance(balance: i64) -> Facts {
    Facts {
        user_status: Some(UserStatus::Active),
        balance: Amount(balance),
        now: now(),
        moves_at: now(),
    }
}

fn started(price: i64, promocode: Option<&str>, facts: &Facts) -> Started {
    start(request(promocode), &tariff(price), facts).unwrap()
}

/// Waits for loyalty, at a list price of 1000.
fn pending() -> Purchase {
    started(1_000, Some("SALE"), &with_balance(0)).purchase
}

fn held(discount: i64) -> SagaMessage {
    let (list_price, discount) = (Amount(1_000), Amount(discount));
    SagaMessage::Held {
        list_price,
        discount,
        final_price: Amount(1_000 - discount.0),
    }
}

fn reasons() -> Vec<Reason> {
    let code = RefusalCode::UsesExhausted;
    vec![Reason {
        code,
        detail: "all 10 uses are taken".to_owned(),
        expected: None,
        found: None,
    }]
}

fn settled(message: &SagaMessage, facts: &Facts) -> (Purchase, Vec<Effect>) {
    let Step { next, effects } = step(&pending(), message, facts).unwrap();
    (pending().after(next.unwrap()), effects)
}

fn paid() -> Purchase {
    settled(&held(100), &with_balance(1_000)).0
}

fn failed() -> Purchase {
    settled(&SagaMessage::Refused { reasons: reasons() }, &with_balance(0)).0
}

fn charge_of(amount: i64) -> Effect {
    Effect::Charge {
        amount: OperationAmount::parse(Amount(amount)).unwrap(),
    }
}

#[test]
fn without_a_promocode_it_is_paid_at_once() {
    let Started { purchase, effects } = started(1_000, None, &with_balance(1_500));
    assert_eq!(purchase.state, PurchaseState::Paid);
    assert_eq!((purchase.version, purchase.settled_at), (2, Some(now())));
    assert_eq!(
        (purchase.cost(), purchase.balance_after),
        (Amount(1_000), Some(Amount(500)))
    );
    assert_eq!(
        effects,
        [charge_of(1_000), Effect::ActivateSubscription, Effect::SayPaid]
    );
}

#[test]
fn without_a_promocode_and_with_too_little_money_it_fails_at_once() {
    let Started { purchase, effects } = started(120_000, None, &with_balance(89_000));
    assert_eq!(
        purchase.state,
        PurchaseState::Failed(FailureReason::InsufficientFunds)
    );
    assert_eq!(
        (purchase.cost(), purchase.balance_after),
        (Amount(120_000), Some(Amount(89_000)))
    );
    assert_eq!(effects, [Effect::SayFailed]);
}

#[test]
fn with_a_promocode_it_waits_however_little_the_wallet_holds() {
    let Started { purchase, effects } = started(1_000, Some("SALE"), &with_balance(0));
    assert_eq!((purchase.state, purchase.version), (PurchaseState::Pending, 1));
    assert_eq!((purchase.settled_at, purchase.balance_after), (None, None));
    assert_eq!(effects, [Effect::Hold]);
}

#[test]
fn a_blocked_user_holds_no_promocode() {
    for status in [UserStatus::Blocked, UserStatus::Deleted] {
        let facts = Facts {
            user_status: Some(status),
            ..with_balance(5_000)
        };
        for promocode in [None, Some("SALE")] {
            let Started { purchase, effects } = started(1_000, promocode, &facts);
            assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::UserBlocked));
            assert_eq!(effects, [Effect::SayFailed]);
        }
    }
}

#[test]
fn not_knowing_a_user_yet_is_no_refusal() {
    let facts = Facts {
        user_status: None,
        ..with_balance(1_000)
    };
    assert_eq!(started(1_000, None, &facts).purchase.state, PurchaseState::Paid);
    assert_eq!(settled(&held(0), &facts).0.state, PurchaseState::Paid);
}

#[test]
fn what_is_not_sold_is_not_bought() {
    let archived = Tariff {
        status: TariffStatus::Archived,
        ..tariff(1)
    };
    let facts = with_balance(1);
    assert_eq!(
        start(request(None), &archived, &facts),
        Err(StartError::TariffNotSold)
    );
    for price in [-1, MAX_OPERATION.0 + 1] {
        let broken = Tariff {
            price: Amount(price),
            ..tariff(1)
        };
        assert_eq!(
            start(request(None), &broken, &facts),
            Err(StartError::PriceOutOfRange)
        );
    }
}

#[test]
fn a_held_promocode_is_charged_at_the_discounted_price() {
    let (purchase, effects) = settled(&held(100), &with_balance(900));
    assert_eq!((purchase.state, purchase.version), (PurchaseState::Paid, 2));
    assert_eq!(
        (purchase.discount, purchase.balance_after),
        (Amount(100), Some(Amount(0)))
    );
    assert_eq!(
        effects,
        [charge_of(900), Effect::ActivateSubscription, Effect::SayPaid]
    );
}

#[test]
fn a_free_purchase_is_paid_without_a_charge() {
    let (purchase, effects) = settled(&held(1_000), &with_balance(0));
    assert_eq!(
        (purchase.state, purchase.cost()),
        (PurchaseState::Paid, Amount(0))
    );
    assert_eq!(effects, [Effect::ActivateSubscription, Effect::SayPaid]);
}

#[test]
fn a_held_promocode_with_too_little_money_fails_and_names_the_discounted_cost() {
    let (purchase, effects) = settled(&held(100), &with_balance(899));
    assert_eq!(
        purchase.state,
        PurchaseState::Failed(FailureReason::InsufficientFunds)
    );
    assert_eq!(
        (purchase.cost(), purchase.balance_after),
        (Amount(900), Some(Amount(899)))
    );
    assert_eq!(effects, [Effect::SayFailed]);
}

#[test]
fn a_user_blocked_while_waiting_is_not_charged() {
    for status in [UserStatus::Blocked, UserStatus::Deleted] {
        let facts = Facts {
            user_status: Some(status),
            ..with_balance(5_000)
        };
        for discount in [100, 1_000] {
            let (purchase, effects) = settled(&held(discount), &facts);
            assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::UserBlocked));
            assert_eq!(effects, [Effect::SayFailed]);
        }
    }
}

#[test]
fn a_refused_promocode_fails_the_purchase_with_its_reasons() {
    let (purchase, effects) = settled(&SagaMessage::Refused { reasons: reasons() }, &with_balance(5_000));
    assert_eq!(
        purchase.state,
        PurchaseState::Failed(FailureReason::PromocodeRefused)
    );
    assert_eq!(purchase.refusal_reasons, reasons());
    assert_eq!(purchase.balance_after, Some(Amount(5_000)));
    assert_eq!(effects, [Effect::SayFailed]);
}

#[test]
fn a_hold_that_comes_just_before_the_deadline_is_paid_and_at_it_is_not() {
    let microsecond = Duration::microseconds(1);
    let at = |now| {
        settled(
            &held(100),
            &Facts {
                now,
                ..with_balance(5_000)
            },
        )
    };
    assert_eq!(at(deadline() - microsecond).0.state, PurchaseState::Paid);
    for late in [deadline(), deadline() + microsecond] {
        let (purchase, effects) = at(late);
        assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::TimedOut));
        assert_eq!(effects, [Effect::SayFailed]);
    }
}

#[test]
fn the_deadline_ends_what_waits_but_not_early() {
    let early = Facts {
        now: deadline() - Duration::microseconds(1),
        ..with_balance(0)
    };
    assert_eq!(
        step(&pending(), &SagaMessage::DeadlinePassed, &early),
        Ok(Step::default())
    );
    let late = Facts {
        now: deadline(),
        ..early
    };
    let (purchase, effects) = settled(&SagaMessage::DeadlinePassed, &late);
    assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::TimedOut));
    assert_eq!(effects, [Effect::SayFailed]);
}

#[test]
fn a_pending_purchase_can_be_cancelled() {
    let (purchase, effects) = settled(&SagaMessage::CancelRequested, &with_balance(5_000));
    assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::Cancelled));
    assert_eq!(effects, [Effect::SayFailed]);
}

#[test]
fn a_hold_that_can_not_be_true_is_never_charged() {
    let facts = with_balance(i64::MAX);
    let told = |list, discount, last| {
        let (list_price, discount, final_price) = (Amount(list), Amount(discount), Amount(last));
        step(
            &pending(),
            &SagaMessage::Held {
                list_price,
                discount,
                final_price,
            },
            &facts,
        )
    };
    let differs = ProtocolError::ListPriceDiffers {
        held: Amount(2_000),
        own: Amount(1_000),
    };
    assert_eq!(told(2_000, 100, 1_900), Err(differs));
    for (discount, last) in [
        (100, 800),
        (-1, 1_001),
        (1_001, -1),
        (i64::MAX, i64::MIN),
        (1, i64::MAX),
    ] {
        assert_eq!(told(1_000, discount, last), Err(ProtocolError::PartsDoNotAddUp));
    }
}

#[test]
fn an_answer_about_a_promocode_that_nobody_typed_is_not_taken() {
    let bare = Purchase {
        promocode: None,
        ..pending()
    };
    for message in [held(0), SagaMessage::Refused { reasons: reasons() }] {
        assert_eq!(
            step(&bare, &message, &with_balance(5_000)),
            Err(ProtocolError::NoPromocode)
        );
    }
}

#[test]
fn an_outcome_is_said_again_when_asked_for_and_a_pending_one_is_not() {
    let facts = with_balance(0);
    let again = Step {
        next: None,
        effects: vec![Effect::SayAgain],
    };
    let refunded = Purchase {
        state: PurchaseState::Refunded,
        version: 3,
        ..paid()
    };
    for purchase in [paid(), failed(), refunded] {
        assert_eq!(
            step(&purchase, &SagaMessage::ReportRequested, &facts),
            Ok(again.clone())
        );
    }
    assert_eq!(
        step(&pending(), &SagaMessage::ReportRequested, &facts),
        Ok(Step::default())
    );
}

#[test]
fn a_state_reads_back_as_it_was_stored() {
    let mut states = vec![
        PurchaseState::Pending,
        PurchaseState::Paid,
        PurchaseState::Refunded,
    ];
    states.extend(FAILURES.map(PurchaseState::Failed));
    for state in states {
        assert_eq!(PurchaseState::parse(state.as_str(), state.failure()), Ok(state));
    }
    assert!(PurchaseState::parse("failed", None).is_err());
    assert!(PurchaseState::parse("paid", Some(FailureReason::TimedOut)).is_err());
    assert!(PurchaseState::parse("held", None).is_err());
}

const FAILURES: [FailureReason; 5] = [
    FailureReason::InsufficientFunds,
    FailureReason::PromocodeRefused,
    FailureReason::UserBlocked,
    FailureReason::TimedOut,
    FailureReason::Cancelled,
];

fn messages() -> impl Strategy<Value = SagaMessage> {
    let amounts = || prop_oneof![-10..2_000_i64, any::<i64>()].prop_map(Amount);
    prop_oneof![
        (0..=1_000_i64).prop_map(held),
        (amounts(), amounts(), amounts()).prop_map(|(list_price, discount, final_price)| SagaMessage::Held {
            list_price,
            discount,
            final_price
        }),
        Just(SagaMessage::Refused { reasons: reasons() }),
        Just(SagaMessage::DeadlinePassed),
        Just(SagaMessage::CancelRequested),
        Just(SagaMessage::ReportRequested),
    ]
}

fn facts() -> impl Strategy<Value = Facts> {
    let statuses = prop_oneof![
        Just(None),
        Just(Some(UserStatus::Active)),
        Just(Some(UserStatus::Blocked)),
        Just(Some(UserStatus::Deleted)),
    ];
    (statuses, 0..2_000_i64, 0..60_i64).prop_map(|(user_status, balance, seconds)| Facts {
        user_status,
        balance: Amount(balance),
        now: now() + Duration::seconds(seconds),
        moves_at: now() + Duration::seconds(seconds),
    })
}

proptest! {
    #[test]
    fn whatever_comes_a_purchase_ends_once_and_is_charged_what_it_says(
        history in prop::collection::vec((messages(), facts()), 0..20),
    ) {
        let mut purchase = pending();
        let mut charged = Vec::new();
        for (message, facts) in history {
            let before = purchase.clone();
            let Ok(Step { next, effects }) = step(&purchase, &message, &facts) else {
                prop_assert_eq!(before.state, PurchaseState::Pending);
                continue;
            };
            if let Some(change) = next {
                prop_assert_eq!(before.state, PurchaseState::Pending);
                prop_assert_eq!(change.version, before.version + 1);
                prop_assert!(!change.balance_after.is_negative());
                purchase = purchase.after(change);
                prop_assert_ne!(purchase.state, PurchaseState::Pending);
                let said = if purchase.state == PurchaseState::Paid { Effect::SayPaid } else { Effect::SayFailed };
                prop_assert_eq!(effects.last(), Some(&said));
            } else {
                prop_assert!(effects.is_empty() || effects == [Effect::SayAgain]);
            }
            for effect in effects {
                if let Effect::Charge { amount } = effect {
                    prop_assert!(facts.now < purchase.deadline);
                    prop_assert_eq!(purchase.balance_after, Some(Amount(facts.balance.0 - amount.amount().0)));
                    charged.push(amount.amount());
                }
            }
        }
        if purchase.state == PurchaseState::Paid {
            let cost = purchase.cost();
            prop_assert!(charged == [cost] || (charged.is_empty() && cost == Amount::ZERO));
        } else {
            prop_assert!(charged.is_empty());
        }
    }
}

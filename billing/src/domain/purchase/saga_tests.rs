//! The saga, message by message.

use chrono::Duration;
use proptest::prelude::*;
use shared::{
    clock::Instant,
    contracts::{FailureReason, NotHeldReason, Reason, RefusalCode, TariffStatus, UserStatus},
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
        expected_price: None,
        deadline: deadline(),
    }
}

fn with_balance(balance: i64) -> Facts {
    Facts {
        user_status: Some(UserStatus::Active),
        has_purchased: false,
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

fn not_held(discount: i64, reason: NotHeldReason) -> SagaMessage {
    SagaMessage::NotHeld {
        list_price: Amount(1_000),
        discount: Amount(discount),
        final_price: Amount(1_000 - discount),
        reason,
    }
}

fn held(discount: i64) -> SagaMessage {
    let (list_price, discount) = (Amount(1_000), Amount(discount));
    SagaMessage::Held {
        list_price,
        discount,
        final_price: Amount(1_000 - discount.0),
        first_purchase_only: false,
    }
}

fn for_first_purchase() -> SagaMessage {
    SagaMessage::Held {
        list_price: Amount(1_000),
        discount: Amount(100),
        final_price: Amount(900),
        first_purchase_only: true,
    }
}

fn refund_request() -> SagaMessage {
    SagaMessage::RefundRequested {
        reason: "a mistake".to_owned(),
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

fn refunded() -> Purchase {
    let change = step(&paid(), &refund_request(), &with_balance(100)).unwrap().next;
    paid().after(change.unwrap())
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
fn what_is_not_held_fails_the_purchase_at_its_discounted_price_whatever_the_wallet_holds_by_now() {
    for (reason, failure) in [
        (NotHeldReason::InsufficientFunds, FailureReason::InsufficientFunds),
        (NotHeldReason::PriceChanged, FailureReason::PriceChanged),
    ] {
        for balance in [0, 5_000] {
            let (purchase, effects) = settled(&not_held(100, reason), &with_balance(balance));
            assert_eq!(purchase.state, PurchaseState::Failed(failure));
            assert_eq!(
                (purchase.cost(), purchase.balance_after),
                (Amount(900), Some(Amount(balance)))
            );
            assert_eq!(effects, [Effect::SayFailed]);
        }
    }
    let blocked = Facts {
        user_status: Some(UserStatus::Blocked),
        ..with_balance(0)
    };
    let (purchase, _) = settled(&not_held(100, NotHeldReason::InsufficientFunds), &blocked);
    assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::UserBlocked));
}

#[test]
fn another_price_than_the_expected_one_is_never_charged() {
    let buy = |expected: i64, balance: i64| {
        let request = PurchaseRequest {
            expected_price: Some(Amount(expected)),
            ..request(None)
        };
        start(request, &tariff(1_000), &with_balance(balance)).unwrap()
    };
    assert_eq!(buy(1_000, 1_000).purchase.state, PurchaseState::Paid);
    for (expected, balance) in [(999, 5_000), (1_001, 5_000), (999, 0)] {
        let Started { purchase, effects } = buy(expected, balance);
        assert_eq!(purchase.state, PurchaseState::Failed(FailureReason::PriceChanged));
        assert_eq!(effects, [Effect::SayFailed]);
    }
    // With a promocode the price is the one that the discount leaves.
    let pending = Purchase {
        expected_price: Some(Amount(900)),
        ..pending()
    };
    for (discount, state) in [
        (100, PurchaseState::Paid),
        (99, PurchaseState::Failed(FailureReason::PriceChanged)),
    ] {
        let next = step(&pending, &held(discount), &with_balance(5_000))
            .unwrap()
            .next;
        assert_eq!(next.unwrap().state, state);
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
                first_purchase_only: false,
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
    for message in [
        held(0),
        SagaMessage::Refused { reasons: reasons() },
        not_held(0, NotHeldReason::InsufficientFunds),
    ] {
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
    for purchase in [paid(), failed(), refunded()] {
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
fn a_paid_purchase_is_given_back_once_and_keeps_what_it_was() {
    let Step { next, effects } = step(&paid(), &refund_request(), &with_balance(50)).unwrap();
    let amount = OperationAmount::parse(Amount(900)).unwrap();
    assert_eq!(
        effects,
        [
            Effect::GiveBack { amount },
            Effect::EndSubscription,
            Effect::SayRefunded
        ]
    );
    let purchase = paid().after(next.unwrap());
    assert_eq!((purchase.state, purchase.version), (PurchaseState::Refunded, 3));
    assert_eq!(
        (purchase.cost(), purchase.settled_at, purchase.balance_after),
        (Amount(900), paid().settled_at, paid().balance_after)
    );
    assert_eq!(purchase.last_moved(), Some((Amount(950), now())));
    for message in [refund_request(), held(100), SagaMessage::CancelRequested] {
        assert_eq!(step(&purchase, &message, &with_balance(950)), Ok(Step::default()));
    }
}

#[test]
fn a_refund_of_nothing_moves_nothing_and_ends_the_subscription_all_the_same() {
    let free = settled(&held(1_000), &with_balance(7)).0;
    let Step { next, effects } = step(&free, &refund_request(), &with_balance(7)).unwrap();
    assert_eq!(effects, [Effect::EndSubscription, Effect::SayRefunded]);
    assert_eq!(free.after(next.unwrap()).last_moved(), Some((Amount(7), now())));
}

#[test]
fn a_deleted_user_gets_nothing_back() {
    let deleted = Facts {
        user_status: Some(UserStatus::Deleted),
        ..with_balance(0)
    };
    let Step { next, effects } = step(&paid(), &refund_request(), &deleted).unwrap();
    let amount = OperationAmount::parse(Amount(900)).unwrap();
    assert_eq!(
        effects[..2],
        [Effect::GiveBack { amount }, Effect::Forfeit { amount }]
    );
    assert_eq!(paid().after(next.unwrap()).last_moved(), Some((Amount(0), now())));
}

#[test]
fn what_is_not_paid_is_not_given_back() {
    for purchase in [pending(), failed(), refunded()] {
        assert_eq!(
            step(&purchase, &refund_request(), &with_balance(0)),
            Ok(Step::default())
        );
    }
    assert_eq!(
        step(&paid(), &refund_request(), &with_balance(i64::MAX)),
        Err(ProtocolError::WalletOverflows)
    );
}

#[test]
fn of_two_first_purchases_the_second_one_to_be_charged_is_refused() {
    let (first, _) = settled(&for_first_purchase(), &with_balance(5_000));
    assert_eq!(first.state, PurchaseState::Paid);
    let purchased = Facts {
        has_purchased: true,
        ..with_balance(5_000)
    };
    let (second, effects) = settled(&for_first_purchase(), &purchased);
    assert_eq!(
        second.state,
        PurchaseState::Failed(FailureReason::PromocodeRefused)
    );
    assert_eq!(effects, [Effect::SayFailed]);
    let reason = &second.refusal_reasons[0];
    assert_eq!(reason.code, RefusalCode::NotFirstPurchase);
    assert!(reason.expected.is_some() && reason.found.is_some());
    // Others do not care.
    assert_eq!(settled(&held(100), &purchased).0.state, PurchaseState::Paid);
    // Who is blocked hears that, and nothing of their purchases.
    let blocked = Facts {
        user_status: Some(UserStatus::Blocked),
        ..purchased
    };
    let blocked = settled(&for_first_purchase(), &blocked).0;
    assert_eq!(blocked.state, PurchaseState::Failed(FailureReason::UserBlocked));
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
            final_price,
            first_purchase_only: false,
        }),
        Just(for_first_purchase()),
        Just(refund_request()),
        Just(SagaMessage::Refused { reasons: reasons() }),
        (0..=1_000_i64, any::<bool>()).prop_map(|(discount, funds)| not_held(
            discount,
            if funds {
                NotHeldReason::InsufficientFunds
            } else {
                NotHeldReason::PriceChanged
            }
        )),
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
    let purchased = any::<bool>();
    (statuses, purchased, 0..2_000_i64, 0..60_i64).prop_map(
        |(user_status, has_purchased, balance, seconds)| Facts {
            user_status,
            has_purchased,
            balance: Amount(balance),
            now: now() + Duration::seconds(seconds),
            moves_at: now() + Duration::seconds(seconds),
        },
    )
}

proptest! {
    #[test]
    fn whatever_comes_a_purchase_ends_once_and_is_charged_what_it_says(
        history in prop::collection::vec((messages(), facts()), 0..20),
    ) {
        let mut purchase = pending();
        let (mut charged, mut given_back) = (Vec::new(), Vec::new());
        for (message, facts) in history {
            let before = purchase.clone();
            let Ok(Step { next, effects }) = step(&purchase, &message, &facts) else {
                prop_assert_eq!(before.state, PurchaseState::Pending);
                continue;
            };
            if let Some(change) = next {
                prop_assert_eq!(change.version, before.version + 1);
                prop_assert!(!change.balance_after.is_negative());
                purchase = purchase.after(change);
                let said = match (before.state, purchase.state) {
                    (PurchaseState::Pending, PurchaseState::Paid) => Effect::SayPaid,
                    (PurchaseState::Pending, PurchaseState::Failed(_)) => Effect::SayFailed,
                    (PurchaseState::Paid, PurchaseState::Refunded) => Effect::SayRefunded,
                    (from, to) => panic!("{from:?} became {to:?}"),
                };
                prop_assert_eq!(effects.last(), Some(&said));
            } else {
                prop_assert!(effects.is_empty() || effects == [Effect::SayAgain]);
            }
            let left = purchase.last_moved().map(|(balance, _)| balance);
            for effect in &effects {
                match effect {
                    Effect::Charge { amount } => {
                        prop_assert!(facts.now < purchase.deadline);
                        prop_assert_eq!(left, Some(Amount(facts.balance.0 - amount.amount().0)));
                        charged.push(amount.amount());
                    }
                    Effect::GiveBack { amount } => {
                        let kept = if effects.contains(&Effect::Forfeit { amount: *amount }) { 0 } else { amount.amount().0 };
                        prop_assert_eq!(left, Some(Amount(facts.balance.0 + kept)));
                        given_back.push(amount.amount());
                    }
                    _ => {}
                }
            }
        }
        let expected = match (purchase.state, purchase.cost()) {
            (PurchaseState::Paid | PurchaseState::Refunded, cost) if cost != Amount::ZERO => vec![cost],
            _ => Vec::new(),
        };
        prop_assert_eq!(&charged, &expected);
        prop_assert_eq!(given_back, if purchase.state == PurchaseState::Refunded { expected } else { Vec::new() });
    }
}
